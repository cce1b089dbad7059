"""DuckDB: one file, one writing process. Rows go in as Arrow tables, vectors are FLOAT[]."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from vector.contracts.ledgers import Column
from vector.engines.base import (
    ClaimRequest,
    Found,
    Result,
    SearchRequest,
    SketchMean,
    TextColumn,
    checked_identifier,
    checked_relations,
    key_match,
)
from vector.engines.duckdb import queue as duckdb_queue
from vector.engines.duckdb import rewriting
from vector.engines.duckdb import search as duckdb_search
from vector.engines.duckdb.quoting import first_line, quoted
from vector.engines.duckdb.sessions import Sessions, interruptible, session
from vector.engines.filters import SearchFilters, filter_conditions
from vector.engines.read_copy import drop_copies, folder_beside
from vector.errors import ConfigurationError, DatabaseFailed
from vector.project.relations import Relations

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Names of the locks that are held in this process, by database file and schema.
_HELD: set[tuple[str, str, str]] = set()
_LOCK = threading.Lock()

# Rows that are read at a time.
_BLOCK = 2000

# Times that a transaction is tried when another one has changed the same rows meanwhile.
_ATTEMPTS = 8

# One process writes, so a lock of the process will do: transactions of DuckDB that decide by what they read, and not
# only by what they write, do not see each other.
_QUEUE = threading.RLock()


class DuckDBEngine:
    """The engine over an open duckdb connection."""

    name = "duckdb"
    single_process = True
    transactional = True

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        schema: str = "vector",
        settings: Mapping[str, Any] | None = None,
        own: bool = False,
        relations: Relations | None = None,
        sessions: Sessions | None = None,
        catalog: str | None = None,
        location: str | None = None,
        copy: str | None = None,
    ):
        """`settings` are those that the connection was given, for `another` to be given too. `own`: nobody else has the
        connection, so that a transaction is not looked for before one is begun. Without `relations` all are in the
        schema, under their own names. `sessions`: those that share the database, and open it again after an error that
        ends it. `catalog`: the target's database, by default the one that is current.
        `location`: the file that is read, by itself or a read copy of it; `copy`: what tells that copy from all
        others."""
        self.connection = connection
        self._own = own
        self._settings = dict(settings or {})
        self.relations = checked_relations(relations or Relations(schema))
        self.schema = self.relations.home.schema
        # With the catalog: a database file may be called like the schema.
        with interruptible():
            self._catalog = catalog or connection.execute("select current_database()").fetchall()[0][0]
        self._location = location
        self._copy = copy
        self._looked_up: dict[tuple, list[tuple]] = {}
        self._staged_count = 0
        self._still_staged: list[str] = []
        self._working = False  # inside a transaction
        self._sessions = sessions or Sessions()
        self._opening = self._sessions.add(self)
        # Held while a statement runs, so that nobody closes the connection under it.
        self.busy = threading.RLock()
        self._cursors: list[duckdb.DuckDBPyConnection] = []

    @property
    def location(self) -> str:
        """The database's file; of a read copy, the file that it is a copy of."""
        if self._location:
            return self._location
        catalog = self.relations.home.database or self._catalog
        rows = self.query("select path from duckdb_databases() where lower(database_name) = lower(?)", [catalog])
        return (rows[0][0] if rows else None) or "an in-memory database"

    @property
    def beside(self) -> Path | None:
        """The folder beside the file for what is kept for it (vector.engines.read_copy)."""
        location = self.location
        return folder_beside(location) if Path(location).is_file() else None

    @property
    def read_only(self) -> bool:
        """Whether the database was opened or attached read-only."""
        catalog = self.relations.home.database or self._catalog
        rows = self.query("select readonly from duckdb_databases() where lower(database_name) = lower(?)", [catalog])
        return bool(rows and rows[0][0])

    def table(self, name: str) -> str:
        """The quoted, qualified name of a relation, wherever dbt has built it."""
        found = self.relations.of(checked_identifier(name, "table"))
        return ".".join(quoted(part) for part in (found.database or self._catalog, found.schema, found.identifier))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select."""
        with self._statement():
            return self.connection.execute(sql, list(parameters)).fetchall()

    def lookup(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select over the ledgers; of a read copy they are read once."""
        if self._whole_copy is None:
            return self.query(sql, parameters)
        key = (sql, *parameters)
        if key not in self._looked_up:
            self._looked_up[key] = self.query(sql, parameters)
        return list(self._looked_up[key])

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple]:
        """The rows of a select over the schema, a block at a time."""
        with self._streaming() as cursor:
            opening = self._opening
            with self._statement():
                cursor.execute(sql, list(parameters))
            while True:
                with self._statement():
                    self._refuse_lost(opening)
                    rows = cursor.fetchmany(_BLOCK)
                if not rows:
                    return
                yield from rows

    @contextmanager
    def _streaming(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of its own, as the next statement of a connection ends the result of the one before."""
        with self._statement():
            cursor = self.connection.cursor()
            self._cursors.append(cursor)
        try:
            yield cursor
        finally:
            with suppress(ValueError):  # it was closed with the database
                self._cursors.remove(cursor)
            cursor.close()

    def _refuse_lost(self, opening: int) -> None:
        if opening != self._opening:
            raise DatabaseFailed("the rows are lost: another session's error ended the database", lost=True)

    def vector_blocks(
        self, sql: str, parameters: Sequence[Any], dimensions: int, rows: int = _BLOCK
    ) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
        """Ids, vectors and whole numbers of a select's rows, by way of Arrow."""
        from vector.engines.duckdb.arrow_rows import block_of  # brings numpy

        with self._streaming() as cursor:
            opening = self._opening
            with self._statement():
                reader = cursor.sql(sql, params=list(parameters)).to_arrow_reader(rows)
            while True:
                with self._statement():
                    self._refuse_lost(opening)
                    batch = next(reader, None)
                if batch is None:
                    return
                if batch.num_rows:
                    yield block_of(batch, dimensions)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement; the number of rows it wrote."""
        with self._statement():
            row = self.connection.execute(sql, list(parameters)).fetchone()
        return int(row[0]) if row and isinstance(row[0], int) else 0

    @contextmanager
    def _statement(self) -> Iterator[None]:
        """Around each statement: on the database as it is open now. Raises DatabaseFailed when the statement ended the
        database, which is open again by then, or when the disk is full."""
        self._follow()
        try:
            with self.busy, interruptible():
                yield
        except duckdb.Error as error:
            if (told := self._sessions.error_of(error, self._opening)) is error:
                raise
            raise told from error

    def _follow(self) -> None:
        """Goes on with a session of the database as it was opened anew, after an error of another session has ended
        it. Raises DatabaseFailed inside a transaction, which is lost."""
        if self._opening == self._sessions.opening:
            return
        self._opening, connection = self._sessions.joined(self._settings)
        self.connection = connection
        if self._working:
            raise DatabaseFailed("the transaction is lost: another session's error ended the database", lost=True)

    def leave(self) -> None:
        """Closes what this session has open in a database that has failed."""
        with self.busy:
            while self._cursors:
                self._cursors.pop().close()
            with suppress(duckdb.Error):
                self.connection.close()

    def atomically(self, work: Callable[[], Result]) -> Result:
        """Runs `work` in a transaction; again, a bounded number of times, where another session has changed the rows
        that it would change, or has ended the database."""
        if not self._own and self._in_transaction():
            raise ConfigurationError("the connection has a transaction open; commit it or roll it back first")
        for failed in range(1, _ATTEMPTS + 1):
            try:
                return self._once(work)
            except duckdb.TransactionException as error:
                if failed == _ATTEMPTS or "conflict" not in str(error).lower():
                    raise
            except DatabaseFailed as error:
                if failed == _ATTEMPTS or not error.lost:
                    raise
            time.sleep(random.uniform(0, 0.005 * 2**failed))
        raise AssertionError("unreachable")

    def _once(self, work: Callable[[], Result]) -> Result:
        self.execute("begin transaction")
        self._working = True
        try:
            result = work()
            self.execute("commit")
        except BaseException as error:
            self._working = False
            self._roll_back(error)
            raise
        finally:
            self._working = False
        return result

    def _roll_back(self, cause: BaseException) -> None:
        """Raises DatabaseFailed when it finds that the cause has ended the database: a commit that did is told only by
        the statement that comes after it."""
        try:
            self.execute("rollback")
        except duckdb.Error:  # a failed commit has ended the transaction
            pass
        except DatabaseFailed as failed:
            if not isinstance(cause, DatabaseFailed):
                raise failed from cause
        while self._still_staged:
            with suppress(duckdb.Error):
                self.connection.unregister(self._still_staged.pop())

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
        import pyarrow as pa  # by who writes: most readers do not need it

        values: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [[] for _ in columns]
        arrays = [_arrow_array(column, list(value)) for column, value in zip(columns, values, strict=True)]
        self._staged_count += 1
        name = f"vector_staged_{self._staged_count}"
        with self._statement():
            self.connection.register(name, pa.table(arrays, names=[column.name for column in columns]))
        try:
            yield name
        finally:
            try:
                self.connection.unregister(name)
            except duckdb.Error:  # after an error, possible only when it has been rolled back
                self._still_staged.append(name)

    def insert_new(
        self, table: str, staged: str, columns: Sequence[str], key: Sequence[str], *, all_new: bool = False
    ) -> int:
        """Appends the staged rows whose key the table does not have; the number of rows appended.

        By way of the key's index: a join would read the whole table, for every batch. DuckDB asks it twice for it, so
        `all_new` takes half the time.
        """
        names = ", ".join(columns)
        present = "" if all_new else f" on conflict ({', '.join(key)}) do nothing"
        return self.execute(f"insert into {self.table(table)} ({names}) select {names} from {staged}{present}")

    def update_from(self, table: str, staged: str, columns: Sequence[str], key: Sequence[str]) -> int:
        """Sets columns of the table's rows from the staged rows of the same key; the number of rows updated."""
        settings = ", ".join(f"{column} = staged.{column}" for column in columns)
        match = key_match("ledger", "staged", key)
        return self.execute(
            f"update {self.table(table)} as ledger set {settings} from {staged} as staged where {match}"
        )

    def delete_from(self, table: str, staged: str, key: Sequence[str]) -> int:
        """Deletes the table's rows that have the key of a staged row; the number of rows deleted."""
        match = key_match("ledger", "staged", key)
        return self.execute(f"delete from {self.table(table)} as ledger using {staged} as staged where {match}")

    def contains(self, column: str, part: str) -> str:
        """The condition that a column has this text in it."""
        return f"contains(cast({column} as varchar), {part})"

    def text_columns(self) -> list[TextColumn]:
        """Every column of text, or of a kind that holds texts, of the tables in the schemas of ours."""
        places = {(_folded(database), _folded(schema)) for database, schema in self._places()}
        rows = self.query(
            "select database_name, schema_name, table_name, column_name from duckdb_columns()"
            " inner join duckdb_tables() using (database_name, schema_name, table_name)"
            " where data_type like '%VARCHAR%' or data_type like '%JSON%' or data_type like 'BLOB%' order by all"
        )
        return [
            TextColumn(".".join(map(quoted, (database, schema, name))), quoted(column), name, column)
            for database, schema, name, column in rows
            if (_folded(database), _folded(schema)) in places
        ]

    def _places(self) -> set[tuple[str, str]]:
        """The databases and schemas that hold a relation."""
        of = [self.relations.home, *self.relations.named.values()]
        return {(each.database or self._catalog, each.schema) for each in of}

    @property
    def _whole_copy(self) -> str | None:
        """What tells the read copy from all others, if this is one and no relation is in another file."""
        attached = {_folded(database) for database, _ in self._places()} - {_folded(self._catalog)}
        return None if attached else self._copy

    def free_deleted(self) -> str:
        """Writes each file anew that holds a relation, without what was deleted: a checkpoint alone leaves the bytes.
        Read copies of it are deleted.

        Raises DatabaseFailed when the new file is not as the old one, which then stays, or there is no room for it.
        """
        files = {}
        for catalog in sorted({database for database, _ in self._places()}):
            rows = self.query(
                "select database_name, path, encrypted, readonly from duckdb_databases() where lower(database_name) ="
                " lower(?)",
                [catalog],
            )
            for name, path, encrypted, readonly in rows:
                if path and not readonly:
                    if encrypted:
                        return f"{path} is encrypted and was not written anew: do it by hand, or drop its key"
                    files[name] = path
        for name, path in files.items():
            drop_copies(path)
            self.execute(f"checkpoint {quoted(name)}")
            rewritten = rewriting.written_anew(self, name, path)
            self._sessions.reopened(partial(rewriting.put_in_place, rewritten, path))
        for path in files.values():
            drop_copies(path)  # one that was made while the file was closed has the bytes of what was deleted
        named = ", ".join(files.values())
        return f"{named} was written anew, without the deleted bytes" if files else "the database is in memory only"

    def create_temporary(self, name: str, select: str, parameters: Sequence[Any] = ()) -> None:
        """Keeps the rows of a select in a temporary table of this session, over an earlier one of the name."""
        self.execute(f"create or replace temp table {checked_identifier(name, 'table')} as {select}", parameters)

    def temporary_table(self, name: str) -> str:
        """What to read a temporary table by."""
        return f'temp."{checked_identifier(name, "table")}"'

    def encode_vector(self, vector: np.ndarray) -> Any:
        """A float32 vector as a parameter or staged value."""
        return vector

    def decode_vector(self, value: Any) -> list[float]:
        """A stored vector as a list of floats."""
        return list(value)

    def missing_relations(self, names: Sequence[str]) -> list[str]:
        """Those of the relations that are not there."""
        rows = self.query("select table_catalog, table_schema, table_name from information_schema.tables")
        present = {tuple(map(_folded, row)) for row in rows}
        places = {name: self.relations.of(name) for name in names}
        return [
            name
            for name, found in places.items()
            if tuple(map(_folded, (found.database or self._catalog, found.schema, found.identifier))) not in present
        ]

    def explain_constraint(self, error: Exception) -> str | None:
        """What a constraint refused, in one line of DuckDB's words; None for an error of another kind."""
        # A key that another session has written meanwhile is found to be double only when the transaction commits.
        if isinstance(error, duckdb.ConstraintException) or (
            isinstance(error, duckdb.TransactionException) and "duplicate key" in str(error).lower()
        ):
            return re.sub(r"^\w+ Error: (Failed to commit: )?", "", first_line(error))
        return None

    def search(self, request: SearchRequest) -> Found:
        """Exact search in SQL: every current vector of the space that passes the filters is compared."""
        return duckdb_search.search(self, request)

    def search_by_sketches(self, request: SearchRequest, mean: SketchMean) -> Found | None:
        """The best of the current vectors that are nearest by their sketches."""
        from vector.engines.duckdb import sketch_search  # brings numpy

        return sketch_search.search_by_sketches(self, request, mean)

    def filter_conditions(self, filters: SearchFilters) -> tuple[list[str], list[Any]]:
        """The filters as conditions on a relation `searched` with source_id and source_type; and their parameters."""
        return filter_conditions(filters, self.table("source_registry"), "cast(? as timestamp)", duckdb_search.has_tag)

    def current_fingerprint(self, embedding_space_id: str) -> str:
        """Digests of the current chunks and of the space's embeddings: what is current hangs on these, and to read both
        takes a fifth of the time of joining them."""
        chunks = self.digest_of("hash(hash(chunk_id, content_sha256, source_id, source_type, context, updated_utc))")
        ((of_chunks, of_embeddings),) = self.query(
            f"select (select {chunks} from {self.table('chunk')} where retired_utc is null),"
            f" (select {self.digest_of('hash(embedding_id)')} from {self.table('embedding')}"
            " where embedding_space_id = ?)",
            [embedding_space_id],
        )
        return f"{of_chunks}-{of_embeddings}"

    def change_token(self) -> str | None:
        """Of a read copy its name; else None: DuckDB counts no writes that one could ask for."""
        return self._whole_copy

    def chunk_digest(self) -> str:
        """A hash of ids, hash, context and time of change, less its last bit, to fit a number with a sign."""
        columns = (
            "chunk_id", "input_content_sha256", "source_id", "source_type", "chunk_context", "chunk_updated_utc",
        )  # fmt: skip
        # Of a hash, as the hash of several columns is the exclusive or of the last one's and another number: two rows
        # that change alike would leave the digest of both as it was.
        return f"cast(hash(hash({', '.join(f'searched.{column}' for column in columns)})) >> 1 as bigint)"

    def digest_of(self, digests: str) -> str:
        """Their number and their exclusive or."""
        return f"concat(count(*), '-', bit_xor({digests}))"

    @contextmanager
    def many_writes(self) -> Iterator[None]:
        """Checkpoints are put off until the log has 1 GiB, or the file is closed: each writes the indexes whole, so a
        growing ledger grows ever slower (docs/decisions/0020). What is committed is in the log."""
        sessions = self._sessions
        with _LOCK:
            if not sessions.long_runs:
                ((sessions.threshold,),) = self.query("select current_setting('checkpoint_threshold')")
                self.execute("set checkpoint_threshold = '1GiB'")
            sessions.long_runs += 1
        try:
            yield
        finally:
            with _LOCK, suppress(DatabaseFailed, duckdb.Error):  # one that has failed was opened anew, as it was
                sessions.long_runs -= 1
                if not sessions.long_runs:
                    self.execute("set checkpoint_threshold = ?", [sessions.threshold])

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

    def utc_now(self) -> datetime:
        """The machine's time, naive UTC."""
        return self.query("select make_timestamp(epoch_us(now()))")[0][0]

    def another(self) -> DuckDBEngine:
        """A second session with the same database, for another thread."""
        self._follow()
        with self.busy:
            cursor = session(self.connection, self._settings)
        return DuckDBEngine(
            cursor, settings=self._settings, own=True, relations=self.relations, sessions=self._sessions,
            catalog=self._catalog, location=self._location, copy=self._copy,
        )  # fmt: skip

    def calling_session(self) -> duckdb.DuckDBPyConnection:
        """A second session with the same database, as a connection of DuckDB."""
        return self.another().connection

    def queue_turn(self) -> AbstractContextManager[Any]:
        """Held around a transaction on the queue: the threads of this process take turns."""
        return _QUEUE

    def held(self, table: str, alias: str) -> str:
        """The table; `queue_turn` holds it."""
        return f"{self.table(table)} as {alias}"

    def claim(self, request: ClaimRequest) -> list[tuple]:
        """Takes the most urgent due jobs for a worker; their rows."""
        job = self.table("job")
        rows = [duckdb_queue.taken(row, request) for row in self.query(*duckdb_queue.due(job, request))]
        if rows:
            self.execute(*duckdb_queue.take(job, rows, request))
        return [tuple(row.values()) for row in rows]

    def close(self) -> None:
        """Closes the connection."""
        self.connection.close()


def _folded(name: str) -> bytes:
    """A name as DuckDB compares it: letters of ASCII in any case, quoted or not."""
    return name.encode().lower()


def _arrow_array(column: Column, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    if column.kind == "vector" and values and all(value is not None for value in values):
        import numpy as np

        matrix = np.asarray(values, dtype=np.float32)
        if matrix.ndim == 2:
            offsets = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
            return pa.ListArray.from_arrays(offsets, matrix.ravel())
    types = {
        "text": pa.string(), "json": pa.string(), "integer": pa.int64(), "real": pa.float64(), "boolean": pa.bool_(),
        "utc": pa.timestamp("us"), "vector": pa.list_(pa.float32()),
    }  # fmt: skip
    return pa.array(values, types[column.kind])
