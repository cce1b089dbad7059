"""DuckDB: one file, one writing process. Rows go in as Arrow tables, vectors are FLOAT[]."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from vector.contracts.ledgers import Column
from vector.engines import duckdb_search
from vector.engines.base import Result, SearchHit, SearchRequest, checked_identifier, checked_schema, key_match
from vector.engines.filters import SearchFilters, filter_conditions
from vector.errors import ConfigurationError
from vector.profile import Target

_ARROW_TYPES = {
    "text": pa.string(),
    "json": pa.string(),
    "integer": pa.int64(),
    "real": pa.float64(),
    "boolean": pa.bool_(),
    "utc": pa.timestamp("us"),
    "vector": pa.list_(pa.float32()),
}

# Names of the locks that are held in this process, by database file and schema.
_HELD: set[tuple[str, str, str]] = set()
_LOCK = threading.Lock()

# MiB of memory to begin with where little will do, and the most that is given bit by bit.
_FRUGAL_MEMORY = 128
_MOST_MEMORY = 64 * 1024

# Rows that are read at a time.
_BLOCK = 2000


def connect(target: Target) -> DuckDBEngine:
    """Opens the target's database file for writing.

    Raises ConfigurationError when the file is missing, is no DuckDB database, or another process holds it.
    """
    path = str(target.settings.get("path", ":memory:"))
    if path.startswith(("md:", "motherduck:", "s3:", "http")) or path == ":memory:":
        raise ConfigurationError(f"target {target.name}: path {path!r} is not a local database file")
    if not Path(path).is_file():
        raise ConfigurationError(
            f"target {target.name}: no database at {Path(path).absolute()}; run `dbt build` first"
            " (a relative path counts from the working directory, as in dbt)"
        )
    try:
        connection = duckdb.connect(path, config=dict(target.settings.get("config_options") or {}))
    except duckdb.Error as error:
        raise ConfigurationError(_cannot_open(path, str(error))) from None
    for name, value in (target.settings.get("settings") or {}).items():
        try:
            connection.execute(f"set {checked_identifier(name, 'setting')} = ?", [value])
        except duckdb.Error as error:
            connection.close()
            raise ConfigurationError(f"target {target.name}: setting {name}: {_first_line(error)}") from None
    return DuckDBEngine(connection, target.schema)


def _cannot_open(path: str, message: str) -> str:
    if "Could not set lock on file" in message:
        holder = re.search(r"PID (\d+)", message)
        who = f"process {holder.group(1)}" if holder else "another process"
        return f"{path} is in use by {who}; DuckDB lets one process write at a time: wait for it, or stop it"
    return f"{path} cannot be opened as a DuckDB database: {_first_line(message)}"


def _first_line(message: object) -> str:
    return str(message).partition("\n")[0]


class DuckDBEngine:
    """The engine over an open duckdb connection."""

    name = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection, schema: str = "vector"):
        self.connection = connection
        self.schema = checked_schema(schema)
        # With the catalog: a database file may be called like the schema.
        (catalog,) = connection.execute("select current_database()").fetchone()
        self._prefix = f'"{catalog}"."{self.schema}"'
        self._staged_count = 0
        self._still_staged: list[str] = []
        self._memory: int | None = None  # the limit in MiB while it is a frugal one
        self._working = False  # inside a transaction

    @property
    def location(self) -> str:
        """The database's file."""
        ((path,),) = self.query("select path from duckdb_databases() where database_name = current_database()")
        return path or "an in-memory database"

    def table(self, name: str) -> str:
        """The quoted, qualified name of a relation of the schema."""
        return f'{self._prefix}."{checked_identifier(name, "table")}"'

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select."""
        return self._run(sql, parameters).fetchall()

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple]:
        """The rows of a select over the schema, a block at a time."""
        # Of a cursor, as the next statement of a connection ends the result of the one before.
        with self.connection.cursor() as cursor, _interruptible():
            cursor.execute(sql, list(parameters))
            while rows := cursor.fetchmany(_BLOCK):
                yield from rows

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement; the number of rows it wrote."""
        row = self._run(sql, parameters).fetchone()
        return int(row[0]) if row and isinstance(row[0], int) else 0

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        while True:
            try:
                with _interruptible():
                    return self.connection.execute(sql, list(parameters))
            except duckdb.OutOfMemoryException:
                # A transaction cannot go on after an error: `atomically` begins it anew.
                if self._working or not self._more_memory():
                    raise

    @contextmanager
    def frugal(self) -> Iterator[None]:
        """Inside, DuckDB starts with little memory and gets more only when a transaction does not fit: what it caches
        of the tables would otherwise grow to its limit, by default most of the machine's. A lower limit stays."""
        ((limit, is_higher),) = self.query(
            "select current_setting('memory_limit'),"
            f" parse_formatted_bytes(current_setting('memory_limit')) > parse_formatted_bytes('{_FRUGAL_MEMORY} MiB')"
        )
        if not is_higher:
            yield
            return
        self._memory = _FRUGAL_MEMORY
        self._run(f"set memory_limit = '{self._memory} MiB'")
        try:
            yield
        finally:
            self._memory = None
            self._run("set memory_limit = ?", [limit])

    def atomically(self, work: Callable[[], Result]) -> Result:
        """Runs `work` in a transaction: all that it writes is written, or nothing is."""
        if self._in_transaction():
            raise ConfigurationError("the connection has a transaction open; commit it or roll it back first")
        while True:
            self._working = True
            try:
                return self._once(work)
            except duckdb.OutOfMemoryException:
                if not self._more_memory():
                    raise
            finally:
                self._working = False

    def _more_memory(self) -> bool:
        if self._memory is None or self._memory >= _MOST_MEMORY:
            return False
        self._memory *= 2
        self.connection.execute(f"set memory_limit = '{self._memory} MiB'")
        return True

    def _once(self, work: Callable[[], Result]) -> Result:
        self.connection.execute("begin transaction")
        try:
            result = work()
            self._run("commit")
        except BaseException:
            with suppress(duckdb.TransactionException):  # a failed commit has ended the transaction
                self.connection.execute("rollback")
            while self._still_staged:
                self.connection.unregister(self._still_staged.pop())
            raise
        return result

    def _in_transaction(self) -> bool:
        # Not by trying `begin`: DuckDB aborts an open transaction that is begun again, and its owner's work is lost.
        try:
            first, second = (self.query("select txid_current()") for _ in range(2))
        except duckdb.TransactionException:  # one that has failed and waits for its rollback
            return True
        return first == second

    @contextmanager
    def staged(self, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
        """The rows as an Arrow table that SQL of this session can read."""
        values = list(zip(*rows, strict=True)) or [[] for _ in columns]
        arrays = [_arrow_array(column, list(value)) for column, value in zip(columns, values, strict=True)]
        self._staged_count += 1
        name = f"vector_staged_{self._staged_count}"
        self.connection.register(name, pa.table(arrays, names=[column.name for column in columns]))
        try:
            yield name
        finally:
            try:
                self.connection.unregister(name)
            except duckdb.TransactionException:  # after an error, possible only when it has been rolled back
                self._still_staged.append(name)

    def insert_new(self, table: str, staged: str, columns: Sequence[str], key: Sequence[str]) -> int:
        """Appends the staged rows whose key the table does not have; the number of rows appended.

        By way of the key's index: a join would read the whole table, for every batch.
        """
        names = ", ".join(columns)
        return self.execute(
            f"insert into {self.table(table)} ({names}) select {names} from {staged}"
            f" on conflict ({', '.join(key)}) do nothing"
        )

    def update_from(self, table: str, staged: str, columns: Sequence[str], key: Sequence[str]) -> int:
        """Sets columns of the table's rows from the staged rows of the same key; the number of rows updated."""
        settings = ", ".join(f"{column} = staged.{column}" for column in columns)
        match = key_match("ledger", "staged", key)
        return self.execute(
            f"update {self.table(table)} as ledger set {settings} from {staged} as staged where {match}"
        )

    def materialize(self, name: str, select: str, parameters: Sequence[Any] = ()) -> None:
        """Keeps the rows of a select in a temporary table of this session, over an earlier one of the name."""
        self._run(f"create or replace temp table {checked_identifier(name, 'table')} as {select}", parameters)

    def materialized(self, name: str) -> str:
        """What to read a temporary table by."""
        return f'temp."{checked_identifier(name, "table")}"'

    def encode_vector(self, vector: np.ndarray) -> Any:
        """A float32 vector as a parameter or staged value."""
        return vector

    def decode_vector(self, value: Any) -> list[float]:
        """A stored vector as a list of floats."""
        return list(value)

    def missing_relations(self, names: Sequence[str]) -> list[str]:
        """Those of the names that the schema does not have."""
        rows = self.query(
            "select table_name from information_schema.tables where table_catalog = current_database()"
            " and table_schema = ?",
            [self.schema],
        )
        present = {row[0] for row in rows}
        return [name for name in names if name not in present]

    def explain_constraint(self, error: Exception) -> str | None:
        """What a constraint refused, in one line of DuckDB's words; None for an error of another kind."""
        # A key that another session has written meanwhile is found to be double only when the transaction commits.
        if isinstance(error, duckdb.ConstraintException) or (
            isinstance(error, duckdb.TransactionException) and "duplicate key" in str(error).lower()
        ):
            return re.sub(r"^\w+ Error: (Failed to commit: )?", "", _first_line(error))
        return None

    def search(self, request: SearchRequest) -> tuple[list[SearchHit], int]:
        """Exact search in SQL: every current vector of the space that passes the filters is compared."""
        return duckdb_search.search(self, request)

    def filter_conditions(self, filters: SearchFilters) -> tuple[list[str], list[Any]]:
        """The filters as conditions on a relation `searched` with source_id and source_type; and their parameters."""
        return filter_conditions(filters, self.table("source_registry"), "cast(? as timestamp)", duckdb_search.has_tag)

    def current_fingerprint(self, embedding_space_id: str) -> str:
        """The number of current chunks of the space and the exclusive or of the hashes of their ids and texts."""
        ((count, digest),) = self.query(
            "select count(*), bit_xor(hash(searched.chunk_id, searched.input_content_sha256))"
            f" from {self.table('embedding_current')} as searched where searched.embedding_space_id = ?",
            [embedding_space_id],
        )
        return f"{count}-{digest or 0:016x}"

    @contextmanager
    def exclusive(self, name: str) -> Iterator[bool]:
        """A lock among the threads of this process, the only one that can write; whether it is held."""
        key = (self.location, self.schema, name)
        with _LOCK:
            held = key not in _HELD
            if held:
                _HELD.add(key)
        try:
            yield held
        finally:
            if held:
                _HELD.discard(key)

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # What DuckDB makes of a signal whose handler raises, Ctrl-C's for one.
        if type(error) is RuntimeError and "interrupted" in str(error):
            raise KeyboardInterrupt(str(error)) from None
        raise


def _arrow_array(column: Column, values: list[Any]) -> pa.Array:
    if column.kind == "vector" and values and all(value is not None for value in values):
        matrix = np.asarray(values, dtype=np.float32)
        if matrix.ndim == 2:
            offsets = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
            return pa.ListArray.from_arrays(offsets, matrix.ravel())
    return pa.array(values, _ARROW_TYPES[column.kind])
