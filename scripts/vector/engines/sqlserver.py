"""SQL Server 2019 to 2025 and Azure SQL, through pyodbc or mssql-python.

Vectors are JSON arrays of float32 numbers in their shortest exact form. Rows go in through a temporary table and one
set-based statement. Connections are opened by dbt-sqlserver itself, so the scripts log in exactly as dbt does.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import numpy as np

from vector.contracts.ledgers import Column
from vector.engines.base import Result, SearchHit, SearchRequest, checked_identifier
from vector.engines.vector_cache import CachedVectors, VectorCache
from vector.errors import ConfigurationError
from vector.profile import Target

logger = logging.getLogger(__name__)

# Deadlock, lock timeout, snapshot conflict, and Azure SQL's throttling and failover.
_TRANSIENT = ("1205", "1222", "3960", "10928", "10929", "40197", "40501", "40613", "49918", "49919", "49920")
_ATTEMPTS = 5

# Longer key texts than this have no index in SQL Server (900 bytes clustered), and no ledger has them.
_KEY_LENGTH = 400

# Rows that are read, and vectors compared, at a time.
_BLOCK = 2000

_TYPES = {
    "json": "nvarchar(max)",
    "integer": "bigint",
    "real": "float",
    "boolean": "bit",
    "utc": "datetime2(6)",
    "vector": "varchar(max)",
}


def connect(target: Target) -> SqlServerEngine:
    """Connects as dbt-sqlserver does, with the same profile keys and authentication modes.

    Raises ConfigurationError, without any secret, when a driver is missing, the server cannot be reached, or the
    login is refused.
    """
    try:
        from dbt.adapters.contracts.connection import Connection
        from dbt.adapters.sqlserver.sqlserver_connections import SQLServerConnectionManager
        from dbt.adapters.sqlserver.sqlserver_credentials import SQLServerCredentials
    except ImportError as error:
        raise ConfigurationError(
            f"target {target.name}: {error}; install the driver with `pip install 'vector-runtime[sqlserver]'`"
        ) from None
    settings = {key: value for key, value in target.settings.items() if key not in ("type", "threads")}
    settings.setdefault("backend", _installed_backend())
    try:
        credentials = SQLServerCredentials.from_dict(SQLServerCredentials.translate_aliases(settings))
        connection = Connection(type="sqlserver", name="vector", credentials=credentials)
        handle = SQLServerConnectionManager.open(connection).handle
    except Exception as error:
        raise ConfigurationError(f"target {target.name}: {_explained(error, target)}") from None
    return SqlServerEngine(handle, target.schema)


def _installed_backend() -> str:
    """pyodbc, or mssql-python where only that one can be imported: it carries its driver, pyodbc needs the system's."""
    try:
        import pyodbc  # noqa: F401
    except ImportError:
        with suppress(ImportError):
            import mssql_python  # noqa: F401

            return "mssql-python"
    return "pyodbc"


_EXPLANATIONS = (
    (("18456", "login failed"), "the login was refused: check user, password and `authentication`"),
    (("4060", "cannot open database"), "the database does not exist, or the login may not open it"),
    (("im002", "can't open lib", "data source name not found"), "the ODBC driver of `driver` is not installed"),
    (("certificate", "ssl"), "the server's certificate is not trusted; set `trust_cert: true` only if you trust it"),
    (("hyt00", "08001", "timeout", "network", "10061"), "the server cannot be reached: check host, port and firewall"),
    (("libodbc",), "libodbc is missing: install unixodbc, or `pip install mssql-python`"),
)


def _explained(error: Exception, target: Target) -> str:
    message = " ".join(str(error).split())
    for secret in ("PWD", "password", "pass", "client_secret", "app_secret", "access_token"):
        value = target.settings.get(secret)
        if value:
            message = message.replace(str(value), "***")
    for words, advice in _EXPLANATIONS:
        if any(word in message.lower() for word in words):
            return f"{advice} ({message[:300]})"
    return message[:400]


class SqlServerEngine:
    """The engine over an open pyodbc or mssql_python connection."""

    name = "sqlserver"

    def __init__(self, connection: Any, schema: str = "vector"):
        self.connection = connection
        self.schema = checked_identifier(schema, "schema")
        self._in_transaction = False
        self._staged_count = 0
        self.cache = VectorCache.from_environment()
        # pyodbc 5 sends str as nvarchar; FreeTDS cannot take parameter arrays.
        driver = str(getattr(connection, "getinfo", lambda code: "")(6) or "")  # SQL_DRIVER_NAME
        self._fast = type(connection).__module__.startswith("pyodbc") and "tds" not in driver.lower()

    def table(self, name: str) -> str:
        """The quoted, qualified name of a relation of the schema."""
        return f"[{self.schema}].[{checked_identifier(name, 'table')}]"

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, *([tuple(parameters)] if parameters else []))
            rows = [tuple(row) for row in cursor.fetchall()]
        finally:
            cursor.close()
        self._end_implicit_transaction()
        return rows

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple]:
        """The rows of a select, a block at a time."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, tuple(parameters))
            while rows := cursor.fetchmany(_BLOCK):
                yield from map(tuple, rows)
        finally:
            cursor.close()
        self._end_implicit_transaction()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement; the number of rows it wrote."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, *([tuple(parameters)] if parameters else []))
            written = max(cursor.rowcount, 0)
        finally:
            cursor.close()
        self._end_implicit_transaction()
        return written

    def atomically(self, work: Callable[[], Result]) -> Result:
        """Runs `work` in a transaction; again, a bounded number of times, after a deadlock or throttling."""
        if self._in_transaction or self.query("select @@trancount")[0][0]:
            raise ConfigurationError("the connection has a transaction open; commit it or roll it back first")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._once(work)
            except Exception as error:
                if attempt == _ATTEMPTS or not _is_transient(error):
                    raise
                pause = random.uniform(0, min(2**attempt * 0.1, 5))
                logger.warning("transient error, attempt %d of %d: %s", attempt, _ATTEMPTS, error)
                time.sleep(pause)
        raise AssertionError("unreachable")

    @contextmanager
    def staged(self, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
        """The rows as a temporary table of this session."""
        values = [tuple(row) for row in rows]
        self._staged_count += 1
        name = f"#vector_staged_{self._staged_count}"
        definitions = ", ".join(
            f"{checked_identifier(column.name, 'column')} {_staged_type(column, [row[i] for row in values])} null"
            for i, column in enumerate(columns)
        )
        self.execute(f"create table {name} ({definitions})")
        try:
            if values:
                self._insert_many(name, len(columns), values)
            yield name
        finally:
            # After an error the transaction, and the table with it, may be gone.
            with suppress(Exception):
                self.execute(f"drop table if exists {name}")

    def insert_new(self, table: str, staged: str, columns: Sequence[str], key: Sequence[str]) -> int:
        """Appends the staged rows whose key the table does not have; the number of rows appended."""
        names = ", ".join(columns)
        match = " and ".join(f"ledger.{column} = staged.{column}" for column in key)
        return self.execute(
            f"insert into {self.table(table)} ({names}) select {names} from {staged} as staged"
            f" where not exists (select 1 from {self.table(table)} as ledger where {match})"
        )

    def update_from(self, table: str, staged: str, columns: Sequence[str], key: Sequence[str]) -> int:
        """Sets columns of the table's rows from the staged rows of the same key; the number of rows updated."""
        settings = ", ".join(f"{column} = staged.{column}" for column in columns)
        match = " and ".join(f"ledger.{column} = staged.{column}" for column in key)
        return self.execute(
            f"update ledger set {settings} from {self.table(table)} as ledger inner join {staged} as staged on {match}"
        )

    def materialize(self, name: str, select: str, parameters: Sequence[Any] = ()) -> None:
        """Keeps the rows of a select in a temporary table of this session, over an earlier one of the name."""
        target = self.materialized(name)
        self.execute(f"drop table if exists {target}")
        # Parameters make the driver prepare the statement, whose temporary table would end with it: as global
        # variables of a batch they do not.
        self.execute(f"select * into {target} from ({_inlined(select, parameters)}) as kept")

    def materialized(self, name: str) -> str:
        """What to read a temporary table by."""
        return f"#{checked_identifier(name, 'table')}"

    def encode_vector(self, vector: np.ndarray) -> Any:
        """A float32 vector as a JSON array; numpy writes the shortest text that reads back as the same float32."""
        return f"[{','.join(np.asarray(vector, dtype=np.float32).astype(str))}]"

    def decode_vector(self, value: Any) -> list[float]:
        """A stored vector as a list of floats."""
        return np.asarray(json.loads(value), dtype=np.float32).tolist()

    def missing_relations(self, names: Sequence[str]) -> list[str]:
        """Those of the names that the schema does not have."""
        rows = self.query(
            "select o.name from sys.objects as o inner join sys.schemas as s on s.schema_id = o.schema_id"
            " where s.name = ? and o.type in ('U', 'V')",
            [self.schema],
        )
        present = {row[0].lower() for row in rows}
        return [name for name in names if name not in present]

    def is_duplicate_key(self, error: Exception) -> bool:
        """Whether the error says that another session has written the same key."""
        return any(number in str(error) for number in ("2627", "2601"))

    def is_unknown_reference(self, error: Exception) -> bool:
        """Whether the error says that a row refers to a key that is not there."""
        return "FOREIGN KEY" in str(error)

    def search(self, request: SearchRequest) -> tuple[list[SearchHit], int]:
        """Exact search: the filters are answered by the server, the vectors compared here, from the local copy."""
        source = _CurrentVectors(self, request.embedding_space_id, len(request.vector))
        chunk_ids = self._filtered_chunks(request)
        cached = self.cache.current(source) if self._has_row_versions() else None
        if cached is not None:
            return cached.best(request.vector, request.distance_metric, request.top_k, chunk_ids)
        return self._search_in_blocks(source, request, chunk_ids)

    def _filtered_chunks(self, request: SearchRequest) -> list[str] | None:
        """Ids of the chunks that pass the filters; None where there are none."""
        filters = (("source_type", request.source_types), ("source_id", request.source_ids))
        given = [(column, values) for column, values in filters if values]
        if not given:
            return None
        conditions = [f"{column} in ({', '.join('?' * len(values))})" for column, values in given]
        rows = self.query(
            f"select chunk_id from {self.table('chunk')} where retired_utc is null and {' and '.join(conditions)}",
            [value for _, values in given for value in values],
        )
        return [row[0] for row in rows]

    def _search_in_blocks(
        self, source: _CurrentVectors, request: SearchRequest, chunk_ids: list[str] | None
    ) -> tuple[list[SearchHit], int]:
        """Without a copy: a block of vectors at a time, keeping the best so far, so that memory stays flat."""
        best: list[SearchHit] = []
        compared = 0
        rows = source.current_vectors(chunk_ids)
        while block := list(islice(rows, _BLOCK)):
            ids, hashes, vectors = zip(*block, strict=True)
            found = CachedVectors(0, np.asarray(ids), np.asarray(hashes), np.asarray(vectors, dtype=np.float32))
            hits, count = found.best(request.vector, request.distance_metric, request.top_k)
            best = sorted([*best, *hits], key=lambda hit: (-hit.score, hit.chunk_id))[: request.top_k]
            compared += count
        return best, compared

    def _has_row_versions(self) -> bool:
        """Whether both ledgers stamp their rows; a server that only speaks the protocol may not."""
        ((count,),) = self.query(
            "select count(*) from sys.columns where name = 'row_version' and object_id in (object_id(?), object_id(?))",
            [self.table("chunk"), self.table("embedding")],
        )
        return count == 2

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()

    def _once(self, work: Callable[[], Result]) -> Result:
        autocommit = self.connection.autocommit
        self.connection.autocommit = False
        self._in_transaction = True
        try:
            result = work()
            self.connection.commit()
            return result
        except BaseException:
            with suppress(Exception):  # the server may have rolled back, or be gone
                self.connection.rollback()
            raise
        finally:
            self._in_transaction = False
            with suppress(Exception):
                self.connection.autocommit = autocommit

    def _end_implicit_transaction(self) -> None:
        # A caller's connection may have autocommit off: no transaction of ours may stay open behind a statement.
        if not self._in_transaction and not self.connection.autocommit:
            self.connection.commit()

    def _insert_many(self, name: str, width: int, rows: list[tuple]) -> None:
        cursor = self.connection.cursor()
        try:
            if self._fast:
                cursor.fast_executemany = True
            cursor.executemany(f"insert into {name} values ({', '.join('?' * width)})", rows)
        finally:
            cursor.close()
        ((count,),) = self.query(f"select count(*) from {name}")
        if count != len(rows):
            raise ConfigurationError(f"the driver staged {count} of {len(rows)} rows; use another driver version")


def _staged_type(column: Column, values: Sequence[Any]) -> str:
    if column.kind != "text":
        text_type = _TYPES[column.kind]
        return f"{text_type} collate Latin1_General_100_BIN2" if "varchar" in text_type else text_type
    # Temporary tables have the collation of tempdb unless told otherwise: this is the ledgers'. Long types are slow to
    # join and to send.
    longest = max((len(value.encode("utf-16-le")) // 2 for value in values if value is not None), default=0)
    size = _KEY_LENGTH if longest <= _KEY_LENGTH else "max"
    return f"nvarchar({size}) collate Latin1_General_100_BIN2"


def _inlined(select: str, parameters: Sequence[Any]) -> str:
    """The select with its parameters as literals. They are ids and numbers of our own, checked to be so."""
    for value in parameters:
        if isinstance(value, int):
            literal = str(value)
        elif isinstance(value, str) and all(char.isalnum() or char in "-_" for char in value):
            literal = f"N'{value}'"
        else:
            raise ConfigurationError(f"{value!r} is neither an id nor a number")
        select = select.replace("?", literal, 1)
    return select


def _is_transient(error: Exception) -> bool:
    text = f"{error.args}"
    return any(f"({number})" in text or f" {number} " in text for number in _TRANSIENT)


class _CurrentVectors:
    """The current vectors of one space, as the local copy reads them."""

    def __init__(self, engine: SqlServerEngine, embedding_space_id: str, dimensions: int):
        self.engine = engine
        self.space = embedding_space_id
        self.dimensions = dimensions
        ((server, database),) = engine.query(
            "select cast(serverproperty('ServerName') as nvarchar(256)), concat(name, ' ', create_date)"
            " from sys.databases where database_id = db_id()"
        )
        self.identity = f"{server}/{database}/{engine.schema}/{embedding_space_id}"

    def version(self) -> int:
        """Below the oldest write that is still open, so that no later commit is missed."""
        return int(self.engine.query("select cast(min_active_rowversion() as bigint) - 1")[0][0])

    def count(self) -> int:
        """Number of current vectors."""
        sql = f"select count(*) from {self.engine.table('embedding_current')} where embedding_space_id = ?"
        return int(self.engine.query(sql, [self.space])[0][0])

    def changed_chunks(self, since: int) -> list[str]:
        """Chunks whose own row, or an embedding of theirs in the space, was written after the version."""
        written_since = "row_version > cast(cast(? as bigint) as binary(8))"
        rows = self.engine.query(
            f"select chunk_id from {self.engine.table('chunk')} where {written_since}"
            f" union select chunk_id from {self.engine.table('embedding')}"
            f" where {written_since} and embedding_space_id = ?",
            [since, since, self.space],
        )
        return [row[0] for row in rows]

    def current_vectors(self, chunk_ids: Sequence[str] | None) -> Iterator[tuple[str, str, np.ndarray]]:
        """Current vectors of these chunks, or of all."""
        sql = (
            "select searched.chunk_id, searched.input_content_sha256, searched.vector"
            f" from {self.engine.table('embedding_current')} as searched"
        )
        if chunk_ids is None:
            yield from self._read(f"{sql} where searched.embedding_space_id = ?")
            return
        key = Column("chunk_id", "", "text")
        with self.engine.staged([key], [(chunk_id,) for chunk_id in chunk_ids]) as staged:
            yield from self._read(
                f"{sql} inner join {staged} as staged on staged.chunk_id = searched.chunk_id"
                " where searched.embedding_space_id = ?"
            )

    def _read(self, sql: str) -> Iterator[tuple[str, str, np.ndarray]]:
        for chunk_id, content_sha256, vector in self.engine.stream(sql, [self.space]):
            yield chunk_id, content_sha256, np.asarray(json.loads(vector), dtype=np.float32)
