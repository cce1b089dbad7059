"""What a database engine promises to the store, so that nothing above it knows which one it is.

`Engine` is what all have: rows in and out. `QueueEngine` adds the locks and the job queue of those that serve workers,
`SketchEngine` the sketches of those that keep them, `CopyEngine` those of local copies, `TaskEngine` the executors of
those that spread their work over machines.

SQL above this line is written once, in the words all engines share: `?` for parameters, `offset ... fetch next ...
rows only` for limits, `concat` for texts. What they do not share is a method here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

from vector.contracts.ledgers import Column
from vector.engines.filters import SearchFilters
from vector.errors import ConfigurationError
from vector.project.relations import Relations

if TYPE_CHECKING:
    import numpy as np

Result = TypeVar("Result")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")


@dataclass(frozen=True)
class SearchRequest:
    """A nearest-neighbour search over the current vectors of one space.

    `vector` is float32 of shape (dimensions,), a vector of this space.
    """

    embedding_space_id: str
    vector: np.ndarray
    distance_metric: str
    top_k: int
    filters: SearchFilters = SearchFilters()


@dataclass(frozen=True)
class SearchHit:
    """A found chunk. `score` is higher for the better: cosine, inner product, or minus the Euclidean distance."""

    chunk_id: str
    content_sha256: str
    score: float


class Found(NamedTuple):
    """What a search found: hits best first, ties by chunk id; of how many vectors that were compared; the mean of all
    their scores, 0 where there are none."""

    hits: list[SearchHit]
    compared: int
    mean: float


@dataclass(frozen=True)
class SketchMean:
    """The mean that a space's sketches of this version were made with: float32 of shape (dimensions,), of the
    directions of `row_count` vectors."""

    version: int
    mean: np.ndarray
    row_count: int


@dataclass(frozen=True)
class ClaimRequest:
    """What a worker asks the queue for: at most `count` jobs that are due at `now`, of these types (none: of any) and
    with a dedupe key that begins so (empty: with any or none), to be held until `lease_expires_utc`. Times are naive
    UTC; `columns` of `job` are given back."""

    worker_id: str
    count: int
    now: datetime
    lease_expires_utc: datetime
    columns: tuple[str, ...]
    job_types: tuple[str, ...] = ()
    key_prefix: str = ""


@dataclass(frozen=True)
class TextColumn:
    """A column of text. `table` and `sql` are what to read it by, `name` and `column` the plain names."""

    table: str
    sql: str
    name: str
    column: str


# The largest number that the ledger lets a counter have (`ck_job_counters`). A claim leaves one that is there as it is,
# as one more would be refused, and one row would keep all others from being claimed.
LARGEST_COUNT = 2**31 - 2
NEXT_ATTEMPT = f"job.attempt_count + case when job.attempt_count < {LARGEST_COUNT} then 1 else 0 end"


class Engine(Protocol):
    """A connection to one database: reading and writing rows, and the statements that the engines word differently."""

    name: str
    # Of the ledger `embedding`; with the other ledgers' where dbt put all into one.
    schema: str
    relations: Relations
    # Whether an open connection keeps every other process out of the database.
    single_process: bool
    # Whether what `atomically` runs is written as a whole, and keys are enforced. Else each statement stands alone, and
    # parents are written after their children, as the mark that all is there.
    transactional: bool

    @property
    def location(self) -> str:
        """The database, as its user would name it: its file, or its server and name."""
        ...

    @property
    def beside(self) -> Path | None:
        """The folder for what is kept beside the database's file; None where the database is no file of this
        machine."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether the database can only be read here."""
        ...

    def table(self, name: str) -> str:
        """The quoted, qualified name of a relation, wherever dbt has built it."""
        ...

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select."""
        ...

    def lookup(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select that every question asks, and that hangs on nothing but rows of the ledgers: asked once
        of a read copy, which never changes."""
        ...

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple]:
        """The rows of a select over the schema, a block at a time."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement; the number of rows it wrote."""
        ...

    def atomically(self, work: Callable[[], Result]) -> Result:
        """Runs `work` in a transaction: all that it writes is written, or nothing is. An engine may run it again
        after a transient error, so it must do nothing but read and write the database."""
        ...

    def staged(self, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> AbstractContextManager[str]:
        """The rows as a relation of this session, whose name it gives; gone afterwards."""
        ...

    def insert_new(
        self, table: str, staged: str, columns: Sequence[str], key: Sequence[str], *, all_new: bool = False
    ) -> int:
        """Appends the staged rows whose key the table does not have; the number of rows appended.

        `all_new`: none is thought to be there. An engine to which that makes a difference lets a constraint refuse
        them all where one is.
        """
        ...

    def update_from(self, table: str, staged: str, columns: Sequence[str], key: Sequence[str]) -> int:
        """Sets columns of the table's rows from the staged rows of the same key; the number of rows updated."""
        ...

    def delete_from(self, table: str, staged: str, key: Sequence[str]) -> int:
        """Deletes the table's rows that have the key of a staged row; the number of rows deleted."""
        ...

    def contains(self, column: str, part: str) -> str:
        """The condition that a column, whatever its collation, has this text of at most 3,000 characters in it."""
        ...

    def text_columns(self) -> list[TextColumn]:
        """Every column of text of the tables, not views, in the schemas of ours, whoever made them."""
        ...

    def free_deleted(self) -> str:
        """Ends an erasure: frees the bytes of deleted rows as far as the engine can. In words, what was done and what
        is left to do."""
        ...

    def create_temporary(self, name: str, select: str, parameters: Sequence[Any] = ()) -> None:
        """Keeps the rows of a select in a temporary table of this session, over an earlier one of the name."""
        ...

    def temporary_table(self, name: str) -> str:
        """What to read a temporary table by."""
        ...

    def encode_vector(self, vector: np.ndarray) -> Any:
        """A float32 vector as a parameter or staged value."""
        ...

    def decode_vector(self, value: Any) -> list[float]:
        """A stored vector as a list of floats."""
        ...

    def missing_relations(self, names: Sequence[str]) -> list[str]:
        """Those of the relations that are not there."""
        ...

    def explain_constraint(self, error: Exception) -> str | None:
        """What a constraint refused, in one line of the database's own words; None for an error of another kind."""
        ...

    def search(self, request: SearchRequest) -> Found:
        """The best of the current vectors that pass the filters."""
        ...

    def filter_conditions(self, filters: SearchFilters) -> tuple[list[str], list[Any]]:
        """The filters as conditions on a relation `searched` with source_id and source_type; and their parameters."""
        ...

    def current_fingerprint(self, embedding_space_id: str) -> str:
        """A digest of which chunks, with which texts, a search of the space may find: another one when they change.
        Read in one statement, without a text or a vector."""
        ...

    def change_token(self) -> str | None:
        """What is another one after any write to `chunk` or `embedding`, and costs next to nothing; None where, or
        while, the engine has no such thing."""
        ...

    def chunk_digest(self) -> str:
        """The SQL of a whole number of 64 bits (with a sign) of a row `searched` of embedding_current: another one when
        the chunk, its text, or what else the chunk says has changed."""
        ...

    def digest_of(self, digests: str) -> str:
        """The SQL of a text about all the digests of a group, in any order: another one when they change."""
        ...

    def utc_now(self) -> datetime:
        """The database's time, naive UTC."""
        ...

    def calling_session(self) -> Any | None:
        """A second session, as the driver's own connection, whose SQL can call functions of Python by DuckDB's
        `create_function`; None where the database's SQL cannot."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


class QueueEngine(Engine, Protocol):
    """An engine with locks and a job queue, for workers that share a database."""

    def many_writes(self) -> AbstractContextManager[None]:
        """Held around a run that writes for long: what the engine puts off until its end, losing nothing by it."""
        ...

    def exclusive(self, name: str) -> AbstractContextManager[bool]:
        """A lock of this name that at most one session of the database holds; whether it is held.

        Waits no longer than the engine needs to let go what a killed process held.
        """
        ...

    def another(self) -> QueueEngine:
        """A second session with the same database, for another thread."""
        ...

    def queue_turn(self) -> AbstractContextManager[None]:
        """Held around a transaction on the queue where the engine has no row locks to keep two of them apart."""
        ...

    def held(self, table: str, alias: str) -> str:
        """The table, to be read in the condition of a write: the rows that meet it, and that there are no others, stay
        as they are until the transaction ends. Inside `queue_turn`."""
        ...

    def claim(self, request: ClaimRequest) -> list[tuple]:
        """Takes the most urgent due jobs for a worker, each with a new run id as its lease's token, and gives their
        rows, in any order. No two sessions get the same job. Inside `queue_turn` and a transaction."""
        ...


class SketchEngine(QueueEngine, Protocol):
    """An engine that keeps sketches of vectors, and searches by them (vector.engines.sketches)."""

    def vector_blocks(
        self, sql: str, parameters: Sequence[Any], dimensions: int, rows: int = 2000
    ) -> Iterator[tuple[list[str], np.ndarray, np.ndarray]]:
        """The rows of a select whose first column is a text, the second a stored vector and the others whole numbers,
        at most so many at a time: the texts, the vectors as float32 (n, dimensions), and the numbers as int64 (n,
        others). A vector of which none can be compared is all zeros."""
        ...

    def search_by_sketches(self, request: SearchRequest, mean: SketchMean) -> Found | None:
        """As `search`, of those vectors that are nearest by their sketches; every vector of the space must have one of
        this mean. `compared` are these, and the mean of the scores is worked out from the mean of the vectors. None
        where filters leave so few that they had better all be compared, or too few of the nearest are current."""
        ...


class CopyEngine(Engine, Protocol):
    """An engine that keeps no sketches, and makes those of a local copy that memory does not hold."""

    def sketched_vectors(self, embedding_space_id: str, dimensions: int, make: bool) -> int:
        """The number of vectors of a space whose local copy is on disk, with sketches; 0 where it is not. Without
        `make` the server is not asked where no space has such a copy yet; the next search makes it."""
        ...

    def search_by_copied_sketches(self, request: SearchRequest) -> Found | None:
        """As `SketchEngine.search_by_sketches`, by the sketches of that copy."""
        ...


class TaskEngine(Engine, Protocol):
    """An engine whose executors, on many machines, can be given work."""

    @property
    def tasks_at_a_time(self) -> int:
        """How many tasks the executors work at together."""
        ...

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
        ...

    def part_of(self, column: str, part: int, parts: int) -> str:
        """The condition that picks one of so many parts, of about one size, of all values of a column of texts."""
        ...

    def insert_unless(self, table: str, staged: str, columns: Sequence[str], condition: str) -> bool:
        """Appends the one staged row, unless a row `ledger` of the table meets the condition; whether it was appended.
        Of sessions that do so at once, one succeeds."""
        ...

    def land(self, select: str, parameters: Sequence[Any], folder: str) -> None:
        """Writes the rows of a select as parquet files of a folder."""
        ...

    def landed(self, files: Sequence[str], columns: str) -> AbstractContextManager[str]:
        """The rows of parquet files, which have these columns, as a relation of this session."""
        ...

    def landing_folder(self) -> str:
        """The address of the folder that driver and executors share for what is not in a table yet."""
        ...


def with_tasks(engine: Engine) -> TaskEngine | None:
    """The engine, if it has executors."""
    return cast(TaskEngine, engine) if hasattr(engine, "map_rows") else None


def with_sketches(engine: Engine) -> SketchEngine | None:
    """The engine, if it keeps sketches."""
    return cast(SketchEngine, engine) if hasattr(engine, "search_by_sketches") else None


def with_copied_sketches(engine: Engine) -> CopyEngine | None:
    """The engine, if its local copies have sketches."""
    return cast(CopyEngine, engine) if hasattr(engine, "search_by_copied_sketches") else None


def with_queue(engine: Engine) -> QueueEngine:
    """The engine, if it has locks and a queue. Raises ConfigurationError, which says what to do instead."""
    if hasattr(engine, "claim"):
        return cast(QueueEngine, engine)
    raise ConfigurationError(
        f"target {engine.name} has no job queue and no locks: its executors are the workers, and a scheduler runs the"
        " commands; run `vector embed` or `vector refresh` there, and this on DuckDB or SQL Server"
    )


def decimal_columns(cursor: Any) -> tuple[int, ...]:
    """The positions of a result's exact numbers (decimal, numeric), which a driver gives as Decimal."""
    return tuple(i for i, column in enumerate(cursor.description or ()) if column[1] is Decimal)


def as_plain_numbers(row: Sequence[Any], decimals: Sequence[int]) -> tuple:
    """The row with the exact numbers at these positions as int, where they have no decimal places, or float: what
    DuckDB gives, and JSON knows."""
    if not decimals:
        return tuple(row)
    values = list(row)
    for i in decimals:
        if values[i] is not None:
            values[i] = int(values[i]) if values[i].as_tuple().exponent >= 0 else float(values[i])
    return tuple(values)


def key_match(left: str, right: str, key: Sequence[str]) -> str:
    """The SQL condition that two aliases name the same row."""
    return " and ".join(f"{left}.{column} = {right}.{column}" for column in key)


def checked_identifier(name: str, what: str) -> str:
    """The name, if it is a plain SQL identifier. Raises ConfigurationError otherwise: names become part of SQL."""
    if not _IDENTIFIER.match(name):
        raise ConfigurationError(f"{what} {name!r} is not a plain SQL identifier (letters, digits, underscores)")
    return name


# dbt's var `foreign_schemas` has the same default.
FOREIGN_SCHEMAS = ("llm",)


def checked_relations(relations: Relations) -> Relations:
    """The relations, if no schema is another runtime's. Raises ConfigurationError otherwise."""
    for schema in relations.schemas:
        if schema.lower() in FOREIGN_SCHEMAS:
            raise ConfigurationError(
                f"schema {schema!r} belongs to another runtime; give the vector runtime a schema of its own, such as"
                " vector"
            )
        if not schema or "\0" in schema:
            raise ConfigurationError(f"schema {schema!r} cannot be the name of a schema")
    return relations
