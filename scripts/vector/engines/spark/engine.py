"""Apache Spark SQL over tables that a catalog commits one at a time (Iceberg): many readers and writers, no locks.

No key is enforced there, and a statement commits alone. So every write is one MERGE with a `when matched` clause, which
fails where another writer has committed meanwhile, and is then tried again on what that one has written.
"""

from __future__ import annotations

import logging
import random
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from vector.contracts.ledgers import Column
from vector.engines.base import (
    Found,
    Result,
    SearchRequest,
    TextColumn,
    checked_identifier,
    checked_relations,
    key_match,
)
from vector.engines.filters import SearchFilters, filter_conditions
from vector.engines.spark import search as spark_search
from vector.engines.spark.catalog import renew_connections
from vector.engines.vector_cache import VectorCache
from vector.errors import ConfigurationError, DatabaseFailed
from vector.project.relations import Relations

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

_ATTEMPTS = 10
# How a commit fails because of another one: Iceberg's words, and those of a catalog that was busy with it.
_CONFLICTS = (
    "ValidationException", "CommitFailedException", "CommitStateUnknownException", "Failed to commit",
    "ConcurrentAppend", "SQLITE_BUSY", "database is locked", "UncheckedSQLException", "has been updated by another",
    "Cannot commit", "concurrently modified", "created concurrently", "Found conflicting",
)  # fmt: skip
_LIMIT = re.compile(r"offset (\d+) rows fetch next (\?|\d+) rows only")
_KINDS = {
    "text": "string", "json": "string", "integer": "bigint", "real": "double", "boolean": "boolean",
    "utc": "timestamp_ntz", "vector": "array<float>",
}  # fmt: skip
# The column that a table is partitioned by: named in a MERGE, it keeps the others from being read.
_PARTITIONED = {"embedding": "embedding_space_id"}
_MOST_PARTITIONS = 20


class SparkEngine:
    """The engine over a Spark session."""

    name = "spark"
    single_process = False
    transactional = False

    def __init__(self, session: Any, schema: str = "vector", relations: Relations | None = None, own: bool = False):
        """`own`: the session ends with the engine."""
        self.session, self._own = session, own
        self.relations = checked_relations(relations or Relations(schema))
        self.schema = self.relations.home.schema
        self.catalog = session.catalog.currentCatalog()
        renew_connections(session, self.catalog)
        self._folder: str | None = None
        self.cache = VectorCache.from_environment()

    @property
    def location(self) -> str:
        """The catalog and its warehouse."""
        return f"Spark catalog {self.catalog} ({self._warehouse()})"

    @property
    def beside(self) -> None:
        """None: the tables are no file of this machine."""
        return None

    @property
    def read_only(self) -> bool:
        """False: a catalog tells by refusing."""
        return False

    def table(self, name: str) -> str:
        """The quoted, qualified name of a relation, wherever dbt has built it."""
        found = self.relations.of(checked_identifier(name, "table"))
        return ".".join(quoted(part) for part in (self.catalog, found.schema, found.identifier))

    def lookup(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """As `query`: a table may change between two questions."""
        return self.query(sql, parameters)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select."""
        return [_plain(row) for row in self.frame(sql, parameters).collect()]

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple]:
        """The rows of a select, a partition at a time."""
        for row in self.frame(sql, parameters).toLocalIterator():
            yield _plain(row)

    def frame(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """A select as a DataFrame. Parameters are never part of the text: Spark binds them to the parsed statement."""
        sql = _LIMIT.sub(r"limit \2 offset \1", sql)
        return self.session.sql(sql, args=[self._literal(value) for value in parameters] or None)

    def _literal(self, value: Any) -> Any:
        if isinstance(value, datetime):
            from pyspark.sql.functions import lit

            # pyspark makes a time with a zone of it; the ledgers' times have none.
            return lit(self.session.sparkContext._jvm.java.time.LocalDateTime.parse(value.isoformat()))
        return value

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement, again where another writer has committed meanwhile; the number of rows is not known: 0."""
        self.committed(lambda: self.frame(sql, parameters).collect())
        return 0

    def committed(self, work: Callable[[], Result]) -> Result:
        """What the work gives, tried a bounded number of times where another commit made its own fail. Raises
        DatabaseFailed after that."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return work()
            except Exception as error:
                if not is_conflict(error):
                    raise
                if attempt == _ATTEMPTS:
                    raise DatabaseFailed(
                        f"{self.location}: other writers have committed before each of {_ATTEMPTS} tries; run this"
                        " again when fewer are at work"
                    ) from error
                time.sleep(random.uniform(0.1, 0.1 * 2 ** min(attempt, 6)))
        raise AssertionError("unreachable")

    def atomically(self, work: Callable[[], Result]) -> Result:
        """Runs `work`, of which each statement commits alone."""
        return work()

    @contextmanager
    def staged(self, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
        """The rows as a temporary view."""
        from pyspark.sql import types

        kinds = {column.name: types._parse_datatype_string(_KINDS[column.kind]) for column in columns}
        schema = types.StructType([types.StructField(name, kind) for name, kind in kinds.items()])
        reals = [i for i, column in enumerate(columns) if column.kind == "real"]
        values = [_staged_row(row, reals) for row in rows]
        name = f"vector_staged_{uuid.uuid4().hex}"
        self.session.createDataFrame(values, schema).createOrReplaceTempView(name)
        try:
            yield name
        finally:
            self.session.catalog.dropTempView(name)

    def insert_new(
        self, table: str, staged: str, columns: Sequence[str], key: Sequence[str], *, all_new: bool = False
    ) -> int:
        """Appends the staged rows whose key the table does not have; the number of rows appended."""
        values = ", ".join(f"staged.{column}" for column in columns)
        return self._merge(
            table, staged, key,
            # Never so, but it is what makes the catalog refuse the commit of a second writer of the same rows.
            f"when matched and false then update set {columns[0]} = ledger.{columns[0]}"
            f" when not matched then insert ({', '.join(columns)}) values ({values})",
        )  # fmt: skip

    def update_from(self, table: str, staged: str, columns: Sequence[str], key: Sequence[str]) -> int:
        """Sets columns of the table's rows from the staged rows of the same key; the number of rows that match."""
        settings = ", ".join(f"{column} = staged.{column}" for column in columns)
        self._merge(table, staged, key, f"when matched then update set {settings}")
        return self._matching(table, staged, key)

    def delete_from(self, table: str, staged: str, key: Sequence[str]) -> int:
        """Deletes the table's rows that have the key of a staged row; the number of rows deleted."""
        return -self._merge(table, staged, key, "when matched then delete")

    def _merge(self, table: str, staged: str, key: Sequence[str], clauses: str) -> int:
        """Merges the staged rows; by how many the table grew."""
        match = key_match("ledger", "staged", key)
        if (column := _PARTITIONED.get(table)) in key:
            rows = self.query(f"select distinct {column} from {staged} limit {_MOST_PARTITIONS + 1}")
            if not rows:
                return 0
            if len(rows) <= _MOST_PARTITIONS:
                match += f" and ledger.{column} in ({', '.join(text_literal(value) for (value,) in rows)})"
        return self._merge_on(table, staged, match, clauses)

    def _merge_on(self, table: str, staged: str, match: str, clauses: str) -> int:
        sql = f"merge into {self.table(table)} as ledger using {staged} as staged on {match} {clauses}"
        before = self._own_commit(table)
        self.committed(lambda: self.session.sql(sql).collect())
        after = self._own_commit(table)
        return after[1] if after[0] != before[0] else 0

    def _own_commit(self, table: str) -> tuple[int | None, int]:
        """The last snapshot that this application has written, and by how many rows the table grew with it."""
        rows = self.query(
            "select snapshot_id, cast(coalesce(summary['added-records'], '0') as bigint)"
            " - cast(coalesce(summary['deleted-records'], '0') as bigint)"
            f" from {self.table(table)}.snapshots where summary['spark.app.id'] = ? order by committed_at desc limit 1",
            [self.session.sparkContext.applicationId],
        )
        return rows[0] if rows else (None, 0)

    def _matching(self, table: str, staged: str, key: Sequence[str]) -> int:
        match = key_match("ledger", "staged", key)
        sql = f"select count(*) from {self.table(table)} as ledger left semi join {staged} as staged on {match}"
        return int(self.query(sql)[0][0])

    def contains(self, column: str, part: str) -> str:
        """The condition that a column has this text in it."""
        return f"contains(cast({column} as string), {part})"

    def text_columns(self) -> list[TextColumn]:
        """Raises ConfigurationError: erasure stays with the other engines."""
        raise _no_erasure()

    def free_deleted(self) -> str:
        """Raises ConfigurationError: erasure stays with the other engines."""
        raise _no_erasure()

    def create_temporary(self, name: str, select: str, parameters: Sequence[Any] = ()) -> None:
        """Keeps the rows of a select as files of this session, over earlier ones of the name."""
        path = f"{self.work_folder()}/{checked_identifier(name, 'table')}"
        self.frame(select, parameters).write.mode("overwrite").parquet(path)
        self.session.read.parquet(path).createOrReplaceTempView(self.temporary_table(name))

    def temporary_table(self, name: str) -> str:
        """What to read a temporary table by."""
        return f"vector_temporary_{checked_identifier(name, 'table')}"

    def encode_vector(self, vector: np.ndarray) -> Any:
        """A float32 vector as a list of numbers."""
        return vector.tolist() if hasattr(vector, "tolist") else list(vector)

    def decode_vector(self, value: Any) -> list[float]:
        """A stored vector as a list of floats."""
        return list(value)

    def missing_relations(self, names: Sequence[str]) -> list[str]:
        """Those of the relations that are not there."""
        present: dict[str, set[str]] = {}
        for schema in {self.relations.of(name).schema for name in names}:
            found: set[str] = set()
            with suppress(Exception):  # there is no such schema
                for kind in ("tables", "views"):
                    rows = self.session.sql(f"show {kind} in {quoted(self.catalog)}.{quoted(schema)}").collect()
                    found |= {row[1].lower() for row in rows}
            present[schema] = found
        wanted = {name: self.relations.of(name) for name in names}
        return [name for name, of in wanted.items() if of.identifier.lower() not in present[of.schema]]

    def explain_constraint(self, error: Exception) -> str | None:
        """What a NOT NULL refused; None for an error of another kind: there are no other constraints."""
        text = str(error)
        if "NOT_NULL_ASSERT_VIOLATION" in text or "NULL_VALUE" in text or "cannot be null" in text.lower():
            return text.strip().splitlines()[0][:300]
        return None

    def search(self, request: SearchRequest) -> Found:
        """The best of the current vectors that pass the filters: over a local copy where that holds them, else by the
        executors."""
        return spark_search.search(self, self.cache, request)

    def filter_conditions(self, filters: SearchFilters) -> tuple[list[str], list[Any]]:
        """The filters as conditions, and their parameters."""
        return filter_conditions(filters, self.table("source_registry"), "?", spark_search.has_tag)

    def current_fingerprint(self, embedding_space_id: str) -> str:
        """The number of current chunks of the space and the sum of their digests."""
        sql = (
            f"select {self.digest_of(self.chunk_digest())} from {self.table('embedding_current')} as searched"
            " where searched.embedding_space_id = ?"
        )
        return str(self.query(sql, [embedding_space_id])[0][0])

    def change_token(self) -> str | None:
        """The snapshots that the two ledgers are at."""
        return "-".join(str(self._snapshot(table)) for table in ("chunk", "embedding"))

    def _snapshot(self, table: str) -> int | None:
        rows = self.query(f"select snapshot_id from {self.table(table)}.refs where name = 'main'")
        return rows[0][0] if rows else None

    def chunk_digest(self) -> str:
        """64 bits of the chunk's id, its text's hash, the moment of its last change, and its context."""
        columns = ("chunk_id", "input_content_sha256", "chunk_updated_utc", "chunk_context")
        return f"xxhash64({', '.join(f'searched.{column}' for column in columns)})"

    def digest_of(self, digests: str) -> str:
        """Their number and their sum."""
        total = f"coalesce(sum(cast({digests} as decimal(38, 0))), 0)"
        return f"concat(cast(count(*) as string), '-', cast({total} as string))"

    def utc_now(self) -> datetime:
        """The driver's time, naive UTC."""
        return datetime.now(UTC).replace(tzinfo=None)

    def calling_session(self) -> None:
        """None: Spark's SQL calls Python in its executors only."""
        return None

    # What is done by the executors

    @property
    def tasks_at_a_time(self) -> int:
        """How many tasks the executors work at together."""
        return int(self.session.sparkContext.defaultParallelism)

    def map_rows(
        self,
        select: str,
        parameters: Sequence[Any],
        work: Callable[[int, Iterator[Any]], Iterator[Any]],
        columns: str,
        tasks: int = 0,
        by: str = "",
        order: str = "",
    ) -> list[tuple]:
        """The rows, of these columns, that `work` makes in the executors of a task's number and the Arrow batches of a
        select. With `tasks` the rows are spread over so many by the column `by`, in the same way at each attempt, and
        come in the order of another column."""
        frame = self.frame(select, parameters)
        if tasks:
            frame = frame.repartition(tasks, by).sortWithinPartitions(order, by)
        return [_plain(row) for row in frame.mapInArrow(_Task(work), columns).collect()]

    def part_of(self, column: str, part: int, parts: int) -> str:
        """The condition that picks one of so many parts, of about one size, of all values of a column of texts."""
        return f"pmod(xxhash64({column}), {int(parts)}) = {int(part)}"

    def insert_unless(self, table: str, staged: str, columns: Sequence[str], condition: str) -> bool:
        """Appends the one staged row, unless a row `ledger` of the table meets the condition; whether it was appended.
        Of sessions that do so at once, one succeeds."""
        values = ", ".join(f"staged.{column}" for column in columns)
        clauses = (
            f"when matched and false then update set {columns[0]} = ledger.{columns[0]}"
            f" when not matched then insert ({', '.join(columns)}) values ({values})"
        )
        return self._merge_on(table, staged, condition, clauses) == 1

    def land(self, select: str, parameters: Sequence[Any], folder: str) -> None:
        """Writes the rows of a select as parquet files of a folder."""
        self.frame(select, parameters).write.mode("append").parquet(folder)

    @contextmanager
    def landed(self, files: Sequence[str], columns: str) -> Iterator[str]:
        """The rows of parquet files, which have these columns, as a temporary view."""
        name = f"vector_landed_{uuid.uuid4().hex}"
        self.session.read.schema(columns).parquet(*files).createOrReplaceTempView(name)
        try:
            yield name
        finally:
            self.session.catalog.dropTempView(name)

    def landing_folder(self) -> str:
        """The address of the folder that driver and executors share for what is not in a table yet: the setting
        `spark.vector.landing`, else a folder of the warehouse."""
        given = self.session.conf.get("spark.vector.landing", None)
        return as_address(given or f"{self._warehouse()}/vector_landing/{self.schema}")

    def work_folder(self) -> str:
        """The folder of this session's temporary tables."""
        if self._folder is None:
            self._folder = f"{self.landing_folder()}/temporary/{uuid.uuid4().hex}"
        return self._folder

    def _warehouse(self) -> str:
        warehouse = self.session.conf.get(f"spark.sql.catalog.{self.catalog}.warehouse", None)
        if not warehouse:
            raise ConfigurationError(
                f"catalog {self.catalog} has no warehouse folder: set spark.vector.landing, in the profile's"
                " server_side_parameters, to a folder that driver and executors share"
            )
        return str(warehouse).rstrip("/")

    def close(self) -> None:
        """Deletes temporary tables, and ends the session if it is the engine's own."""
        if self._folder is not None:
            from pyarrow import fs

            with suppress(Exception):  # files that nobody reads
                system, path = fs.FileSystem.from_uri(self._folder)
                system.delete_dir(path)
            self._folder = None
        if self._own:
            with suppress(Exception):
                self.session.stop()


class _Task:
    """Tells the work of a task its number."""

    def __init__(self, work: Callable[[int, Iterator[Any]], Iterator[Any]]) -> None:
        self.work = work

    def __call__(self, batches: Iterator[Any]) -> Iterator[Any]:
        """What `mapInArrow` calls in an executor."""
        from pyspark import TaskContext

        return self.work(TaskContext.get().partitionId(), batches)


def _no_erasure() -> ConfigurationError:
    return ConfigurationError(
        "erasure is not there on Spark: erase on the warehouse that the sources come from, and rebuild (docs/spark.md)"
    )


def _plain(row: Sequence[Any]) -> tuple:
    """A row with the numbers that DuckDB would give."""
    return tuple(
        value if not isinstance(value, Decimal) else int(value) if value == value.to_integral_value() else float(value)
        for value in row
    )


def _staged_row(row: Sequence[Any], reals: Sequence[int]) -> tuple:
    values = list(row)
    for i in reals:  # Spark takes no int for a double
        values[i] = None if values[i] is None else float(values[i])
    return tuple(values)


def is_conflict(error: Exception) -> bool:
    """Whether a statement failed because another writer has committed meanwhile, or has the catalog."""
    text = str(error)
    return any(word in text for word in _CONFLICTS)


def as_address(folder: str) -> str:
    """A folder as an address; a path is of this machine, or of a file system that all machines have there."""
    if "://" in folder or folder.startswith("file:"):
        return folder.rstrip("/")
    from pathlib import Path

    return Path(folder).absolute().as_uri()


def quoted(name: str) -> str:
    """A name as Spark delimits it."""
    return f"`{name.replace('`', '``')}`"


def text_literal(value: str) -> str:
    """An id or digest as a literal. Raises ConfigurationError for any other text, which is to be a parameter."""
    if not re.fullmatch(r"[A-Za-z0-9_:-]*", value):
        raise ConfigurationError(f"{value!r} is no id")
    return f"'{value}'"
