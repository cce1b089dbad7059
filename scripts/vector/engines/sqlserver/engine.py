"""SQL Server 2019 to 2025 and Azure SQL, through pyodbc or mssql-python.

Vectors are JSON arrays of float32 numbers in their shortest exact form. Rows go in as one JSON parameter and by one
set-based statement (sqlserver_staging). Connections are opened by dbt-sqlserver itself, so the scripts log in exactly
as dbt does.
"""

from __future__ import annotations

import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import orjson

from vector.contracts.ledgers import Column
from vector.engines.base import (
    ClaimRequest,
    Found,
    Result,
    SearchRequest,
    TextColumn,
    as_plain_numbers,
    checked_identifier,
    checked_relations,
    decimal_columns,
    key_match,
)
from vector.engines.filters import SearchFilters, filter_conditions
from vector.engines.mapped_vectors import MappedCopies
from vector.engines.sqlserver import errors as sqlserver_errors
from vector.engines.sqlserver import queue as sqlserver_queue
from vector.engines.sqlserver import search as sqlserver_search
from vector.engines.sqlserver.staging import StagedRows, staged_rows
from vector.engines.sqlserver.values import inlined
from vector.engines.vector_cache import VectorCache
from vector.errors import ConfigurationError
from vector.project.relations import Relations

logger = logging.getLogger(__name__)

_ATTEMPTS = 5

# A killed process's session ends within a second, but for the statement that it is at.
_LOCK_TIMEOUT_MS = 5000

# Rows that are read, and vectors compared, at a time.
_BLOCK = 2000

# A literal, which is left alone; a parameter's mark; the name of staged rows.
_PARTS = re.compile(r"(?P<literal>N?'(?:[^']|'')*')|(?P<mark>\?)|(?P<staged>\bvector_staged_\d+\b)")
_WRITES = ("insert", "update", "delete")
# Right whatever SET NOCOUNT is, of which a driver's own count knows nothing.
_COUNT = "; select @@rowcount"


class SqlServerEngine:
    """The engine over an open pyodbc or mssql_python connection."""

    name = "sqlserver"
    single_process = False
    transactional = True

    def __init__(
        self,
        connection: Any,
        schema: str = "vector",
        reconnect: Callable[[], Any] | None = None,
        relations: Relations | None = None,
    ):
        """`reconnect` opens a new connection when this one is lost; without it a lost connection is an error. Without
        `relations` all are in the schema, under their own names."""
        self.connection = connection
        self._reconnect = reconnect
        self._temporary: dict[str, str] = {}
        self._staged: dict[str, StagedRows] = {}
        self.relations = checked_relations(relations or Relations(schema))
        self.schema = self.relations.home.schema
        self._in_transaction = self._closed = False
        self._locks: list[str] = []
        self._staged_count = 0
        self.cache = VectorCache.from_environment()
        self.mapped = MappedCopies(self.cache.folder)

    @cached_property
    def location(self) -> str:
        """The server and the database."""
        return "/".join(self.query("select cast(serverproperty('ServerName') as nvarchar(256)), db_name()")[0])

    @property
    def beside(self) -> None:
        """None: the database is a server's."""
        return None

    @cached_property
    def read_only(self) -> bool:
        """Whether the database is read-only: set so, or a readable secondary of an availability group."""
        ((state,),) = self.query("select cast(databasepropertyex(db_name(), 'Updateability') as nvarchar(128))")
        return state == "READ_ONLY"

    def table(self, name: str) -> str:
        """The quoted, qualified name of a relation, wherever dbt has built it."""
        found = self.relations.of(checked_identifier(name, "table"))
        parts = [found.database] if found.database else []
        return ".".join(quoted(part) for part in [*parts, found.schema, found.identifier])

    def lookup(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """As `query`: the database may change between two questions."""
        return self.query(sql, parameters)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select; asked for again, once, when the connection was lost outside of a transaction."""
        try:
            return self._rows(sql, parameters)
        except Exception as error:
            if self._in_transaction or not self._may_reconnect(error):
                raise
            logger.warning("the connection was lost: %s", error)
            self._connect_again()
            return self._rows(sql, parameters)

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        with self._executed(sql, parameters) as cursor:
            decimals = decimal_columns(cursor)
            return [as_plain_numbers(row, decimals) for row in cursor.fetchall()]

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple]:
        """The rows of a select, a block at a time."""
        with self._executed(sql, parameters) as cursor:
            decimals = decimal_columns(cursor)
            while rows := cursor.fetchmany(_BLOCK):
                yield from (as_plain_numbers(row, decimals) for row in rows)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement; the number of rows it wrote."""
        if sql.startswith(_WRITES):
            ((count,),) = self._rows(sql + _COUNT, parameters)
            return int(count)
        with self._executed(sql, parameters):
            return 0

    @contextmanager
    def _executed(self, sql: str, parameters: Sequence[Any]) -> Iterator[Any]:
        """The cursor of an executed statement, at its first result that has columns, if it has one.

        Raises ConfigurationError when the login may not run it.
        """
        sql, values = self._with_staged(sql, parameters)
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, *([tuple(values)] if values else []))
            while cursor.description is None and cursor.nextset():
                pass
            yield cursor
        except BaseException as error:
            self._end_implicit_transaction(failed=True)
            if isinstance(error, Exception) and sqlserver_errors.lacks_permission(error):
                raise ConfigurationError(
                    f"schema {self.schema}: the login lacks a right: {str(error)[:300]}; grant the role it is for"
                    " (docs/sqlserver.md, Grants)"
                ) from None
            raise
        finally:
            with suppress(Exception):  # of a connection that is lost
                cursor.close()
        self._end_implicit_transaction()

    def _with_staged(self, sql: str, parameters: Sequence[Any]) -> tuple[str, list[Any]]:
        """The statement with the staged rows that it names in place, and their payloads among its parameters."""
        if not any(name in sql for name in self._staged):
            return sql, list(parameters)
        given = iter(parameters)
        values = []

        def put_in(part: re.Match[str]) -> str:
            if part["literal"]:
                return part[0]
            if part["mark"]:
                values.append(next(given))
                return "?"
            staged = self._staged[part[0]]
            values.append(staged.payload)
            return staged.relation

        return _PARTS.sub(put_in, sql), [*values, *given]

    def atomically(self, work: Callable[[], Result]) -> Result:
        """Runs `work` in a transaction; again, a bounded number of times, after a deadlock or throttling."""
        if self._in_transaction or self.query("select @@trancount")[0][0]:
            raise ConfigurationError("the connection has a transaction open; commit it or roll it back first")
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._once(work)
            except Exception as error:
                lost = self._may_reconnect(error)
                if attempt == _ATTEMPTS or not (lost or sqlserver_errors.is_transient(error)):
                    raise
                logger.warning("transient error, attempt %d of %d: %s", attempt, _ATTEMPTS, error)
                time.sleep(random.uniform(0, min(2**attempt * 0.1, 5)))
                if lost:
                    self._connect_again()
        raise AssertionError("unreachable")

    @contextmanager
    def staged(self, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
        """The rows as a relation that a statement of this engine may read, under the name that is given.

        Raises InvalidRecord for a value that its column's kind does not have.
        """
        self._staged_count += 1
        name = f"vector_staged_{self._staged_count}"
        self._staged[name] = staged_rows(columns, rows)
        try:
            yield name
        finally:
            del self._staged[name]

    def insert_new(
        self, table: str, staged: str, columns: Sequence[str], key: Sequence[str], *, all_new: bool = False
    ) -> int:
        """Appends the staged rows whose key the table does not have; the number of rows appended."""
        names = ", ".join(columns)
        match = key_match("ledger", "staged", key)
        return self.execute(
            f"insert into {self.table(table)} ({names}) select {names} from {staged} as staged"
            f" where not exists (select 1 from {self.table(table)} as ledger where {match})"
        )

    def update_from(self, table: str, staged: str, columns: Sequence[str], key: Sequence[str]) -> int:
        """Sets columns of the table's rows from the staged rows of the same key; the number of rows updated."""
        settings = ", ".join(f"{column} = staged.{column}" for column in columns)
        match = key_match("ledger", "staged", key)
        return self.execute(
            f"update ledger set {settings} from {self.table(table)} as ledger inner join {staged} as staged on {match}"
        )

    def delete_from(self, table: str, staged: str, key: Sequence[str]) -> int:
        """Deletes the table's rows that have the key of a staged row; the number of rows deleted."""
        match = key_match("ledger", "staged", key)
        return self.execute(
            f"delete ledger from {self.table(table)} as ledger inner join {staged} as staged on {match}"
        )

    def contains(self, column: str, part: str) -> str:
        """The condition that a column, whatever its collation, has this text of at most 3,000 characters in it."""
        return f"charindex({part}, cast({column} as nvarchar(max)) collate Latin1_General_100_BIN2) > 0"

    def text_columns(self) -> list[TextColumn]:
        """Every column of text of the tables in the schemas of ours."""
        found = []
        of = [self.relations.home, *self.relations.named.values()]
        for database, schema in sorted({(each.database or "", each.schema) for each in of}):
            system = f"{quoted(database)}." if database else ""
            rows = self.query(
                f"select c.table_name, c.column_name from {system}information_schema.columns as c"
                f" inner join {system}information_schema.tables as t"
                " on t.table_schema = c.table_schema and t.table_name = c.table_name"
                " where t.table_type = 'BASE TABLE' and c.table_schema = ?"
                " and c.data_type in"
                " ('char', 'varchar', 'text', 'nchar', 'nvarchar', 'ntext', 'xml', 'json', 'sql_variant')"
                " order by c.table_name, c.column_name",
                [schema],
            )
            parts = [quoted(database)] if database else []
            found += [
                TextColumn(".".join([*parts, quoted(schema), quoted(name)]), quoted(column), name, column)
                for name, column in rows
            ]
        return found

    def free_deleted(self) -> str:
        """Nothing: the server takes deleted rows out of their pages by itself, later."""
        return (
            "the server takes deleted rows out of its pages by itself; at once with sp_clean_db_free_space (db_owner)."
            " Its log and your backups keep them until they are overwritten"
        )

    def create_temporary(self, name: str, select: str, parameters: Sequence[Any] = ()) -> None:
        """Keeps the rows of a select in a temporary table of this session, over an earlier one of the name."""
        target = self.temporary_table(name)
        self.execute(f"drop table if exists {target}")
        # With parameters the driver would prepare the statement, and a temporary table made inside a prepared
        # statement ends with it. Hence literals.
        self._temporary[name] = f"select * into {target} from ({inlined(select, parameters)}) as kept"
        self.execute(self._temporary[name])

    def temporary_table(self, name: str) -> str:
        """What to read a temporary table by."""
        return f"#{checked_identifier(name, 'table')}"

    def encode_vector(self, vector: np.ndarray) -> Any:
        """A float32 vector as a JSON array; each number is the shortest text that reads back as the same float32."""
        numbers = np.ascontiguousarray(vector, dtype=np.float32)
        return orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY).decode("ascii")

    def decode_vector(self, value: Any) -> list[float]:
        """A stored vector as a list of floats."""
        return np.asarray(json.loads(value), dtype=np.float32).tolist()

    def missing_relations(self, names: Sequence[str]) -> list[str]:
        """Those of the relations that are not there. The server compares the names, by its own collation."""
        return [name for names_of_place in self._by_place(names) for name in self._missing_of(*names_of_place)]

    def _by_place(self, names: Sequence[str]) -> Iterator[tuple[str | None, str, list[str]]]:
        places: dict[tuple[str | None, str], list[str]] = {}
        for name in names:
            found = self.relations.of(name)
            places.setdefault((found.database, found.schema), []).append(name)
        for (database, schema), those in places.items():
            yield database, schema, those

    def _missing_of(self, database: str | None, schema: str, names: Sequence[str]) -> list[str]:
        system = f"{quoted(database)}.sys" if database else "sys"
        identifiers = {name: self.relations.of(name).identifier for name in names}
        rows = self.query(
            f"select o.name from {system}.objects as o inner join {system}.schemas as s on s.schema_id = o.schema_id"
            f" where s.name = ? and o.type in ('U', 'V') and o.name in ({', '.join('?' * len(names))})",
            [schema, *identifiers.values()],
        )
        present = {row[0].casefold() for row in rows}
        return [name for name, identifier in identifiers.items() if identifier.casefold() not in present]

    def explain_constraint(self, error: Exception) -> str | None:
        """What a constraint refused, in one line of the server's words; None for an error of another kind."""
        return sqlserver_errors.refused_by_constraint(error)

    def search(self, request: SearchRequest) -> Found:
        """Exact search, over a local copy of the space's vectors or in blocks."""
        return sqlserver_search.search(self, self.cache, self.mapped, request)

    def sketched_vectors(self, embedding_space_id: str, dimensions: int, make: bool) -> int:
        """The number of vectors of a space whose local copy is on disk, with sketches; 0 where it is not. Without
        `make` the server is not asked where no space has such a copy yet."""
        if not make and not self.mapped.are_any():
            return 0
        return sqlserver_search.sketched_vectors(self, self.cache, self.mapped, embedding_space_id, dimensions)

    def search_by_copied_sketches(self, request: SearchRequest) -> Found | None:
        """Search by the sketches of a local copy on disk; None where all vectors had better be compared."""
        return sqlserver_search.search_by_sketches(self, self.cache, self.mapped, request)

    def filter_conditions(self, filters: SearchFilters) -> tuple[list[str], list[Any]]:
        """The filters as conditions on a relation `searched` with source_id and source_type; and their parameters."""
        registry = self.table("source_registry")
        return filter_conditions(filters, registry, "cast(? as datetime2(6))", sqlserver_search.has_tag)

    def current_fingerprint(self, embedding_space_id: str) -> str:
        """The number of current chunks of the space and the sum of their digests."""
        return sqlserver_search.current_fingerprint(self, embedding_space_id)

    def change_token(self) -> str | None:
        """The database's last row version, and what tells of deleted rows; None while a write is open."""
        return sqlserver_search.change_token(self)

    def chunk_digest(self) -> str:
        """64 bits of a SHA-256 of the chunk's id, of its text's hash, and of the moment of its last change."""
        return sqlserver_search.chunk_digest()

    def digest_of(self, digests: str) -> str:
        """Their number and their sum."""
        return sqlserver_search.digest_of(digests)

    def many_writes(self) -> AbstractContextManager[None]:
        """Nothing is put off: the server's checkpoints are its own."""
        return nullcontext()

    @contextmanager
    def exclusive(self, name: str) -> Iterator[bool]:
        """A lock of the session, by sp_getapplock, that ends with it at the latest; whether it is held.

        Waits five seconds for it: the session of a process that was killed lives until its statement ends.

        Raises ConfigurationError when the server has no such locks, or does not let this login have one: work that
        needs a lock is not done without.
        """
        resource = f"vector:{self.schema}:{name}"
        held = self._lock(resource)
        if held:
            self._locks.append(resource)
        try:
            yield held
        finally:
            if held:
                self._locks.remove(resource)
                with suppress(Exception):  # the lock ends with the session, which may be lost
                    self.execute("exec sp_releaseapplock @Resource = ?, @LockOwner = 'Session'", [resource])

    def utc_now(self) -> datetime:
        """The server's time, naive UTC."""
        return self.query("select sysutcdatetime()")[0][0]

    def another(self) -> SqlServerEngine:
        """A second session with the same database. Raises ConfigurationError when the engine was made of a connection:
        it cannot open a further one."""
        if self._reconnect is None:
            raise ConfigurationError(
                "threads need connections of their own; open the engine with engine_for_target, not with a connection"
            )
        return SqlServerEngine(self._reconnect(), self.schema, self._reconnect, self.relations)

    def calling_session(self) -> None:
        """None: T-SQL calls no Python of this process."""
        return None

    def queue_turn(self) -> AbstractContextManager[None]:
        """Nothing: the server's row locks keep sessions apart."""
        return nullcontext()

    def held(self, table: str, alias: str) -> str:
        """The table with locks on the rows, and on the gaps between them, that the condition reads."""
        return f"{self.table(table)} as {alias} with (updlock, holdlock)"

    def claim(self, request: ClaimRequest) -> list[tuple]:
        """Takes the most urgent due jobs for a worker; their rows."""
        return self.query(*sqlserver_queue.claim(self.table("job"), request))

    def close(self) -> None:
        """Closes the connection; again is nothing, which pyodbc refuses."""
        if not self._closed:
            self._closed = True
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

    def _lock(self, resource: str) -> bool:
        try:
            ((result,),) = self._rows(
                "declare @result int; exec @result = sp_getapplock @Resource = ?, @LockMode = 'Exclusive',"
                f" @LockOwner = 'Session', @LockTimeout = {_LOCK_TIMEOUT_MS}; select @result",
                [resource],
            )
        except Exception as error:
            if not sqlserver_errors.lacks_procedure(error):
                raise
            raise ConfigurationError(
                f"{self.location} has no application locks (sp_getapplock), without which nothing keeps two sessions"
                " apart; use a server that has them"
            ) from None
        if int(result) < -1:  # -1: another session holds it
            raise ConfigurationError(f"sp_getapplock of {resource} gave {result}: the lock could not be asked for")
        return int(result) >= 0

    def _may_reconnect(self, error: Exception) -> bool:
        return self._reconnect is not None and sqlserver_errors.is_lost_connection(error)

    def _connect_again(self) -> None:
        with suppress(Exception):
            self.connection.close()
        assert self._reconnect is not None
        self.connection = self._reconnect()
        for statement in self._temporary.values():  # temporary tables went with the old connection
            self.execute(statement)
        for resource in self._locks:  # so did the locks
            if not self._lock(resource):
                raise ConfigurationError(f"the connection was lost, and another session has taken {resource} since")

    def _end_implicit_transaction(self, failed: bool = False) -> None:
        # A caller's connection may have autocommit off: no transaction of ours may stay open behind a statement, and
        # none that an error has doomed.
        if self._in_transaction or self.connection.autocommit:
            return
        if not failed:
            self.connection.commit()
            return
        with suppress(Exception):  # the server may have rolled back, or be gone
            self.connection.rollback()


def quoted(name: str) -> str:
    """A name as SQL Server delimits it, whatever it holds."""
    return f"[{name.replace(']', ']]')}]"
