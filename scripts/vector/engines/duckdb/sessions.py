"""The sessions of one process with one database file, and what they do when an error inside DuckDB ends the database.

Such an error, an index that does not fit into memory while a transaction commits for one, makes every later statement
fail until the file is closed by all sessions and opened anew. Committed rows are not lost: they are in the file or in
its log, which DuckDB reads when it opens the file.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakSet

import duckdb

from vector.engines.base import checked_identifier
from vector.errors import DatabaseFailed

_STORED = "what was committed before is stored"

_MORE_MEMORY = ": raise memory_limit in the settings of dbt's profile, and run this again"
# What DuckDB says where that is the reason.
_TOO_LITTLE = ("could not allocate", "failed to pin", "failed to allocate", "out of memory")

# What operating systems say of a disk without room, a quota, and a limit of a file's size.
_FULL = ("No space left", "not enough space", "Disk quota exceeded", "File too large")


class Session(Protocol):
    """What has a connection with the database, and can leave it."""

    connection: duckdb.DuckDBPyConnection

    def leave(self) -> None:
        """Closes what it has open in a database that has failed."""


class Sessions:
    """All sessions with a database; without `reopen`, which gives a new first connection, it cannot be opened anew."""

    def __init__(self, reopen: Callable[[], duckdb.DuckDBPyConnection] | None = None) -> None:
        # How often the database was opened anew: a session that has joined at another count has to follow.
        self.opening = 0
        # Runs that have checkpoints put off, and the size of the log before.
        self.long_runs, self.threshold = 0, ""
        self._reopen = reopen
        self._closed = False  # by a failure, and not open again
        self._lock = threading.Lock()
        self._engines: WeakSet[Session] = WeakSet()
        self._first: Session | None = None

    def add(self, engine: Session) -> int:
        """Takes a session up; the opening that it is of. The first one has the connection that the others come from."""
        self._engines.add(engine)
        self._first = self._first or engine
        return self.opening

    def error_of(self, error: Exception, opening: int) -> Exception:
        """The error to raise for one of a statement: DatabaseFailed where it ended the database, which is opened anew
        first, or where memory or disk is too small."""
        if isinstance(error, duckdb.FatalException | duckdb.InternalException):
            return self._failed(error, opening)
        if isinstance(error, duckdb.ConnectionException):
            return self._moved(error, opening)
        if isinstance(error, duckdb.OutOfMemoryException):
            return DatabaseFailed(f"DuckDB has not enough memory: {_reason(error)}; {_STORED}{_MORE_MEMORY}")
        if any(words in str(error) for words in _FULL):
            return DatabaseFailed(f"the disk is full: {_reason(error)}; {_STORED}: make room, and run this again")
        return error

    def _failed(self, error: Exception, opening: int) -> DatabaseFailed:
        """Opens the database anew, unless another session has since `opening`; the error to raise."""
        reason = _reason(error)
        with self._lock:
            if self.opening != opening:
                return DatabaseFailed(f"another session's error ended the database: {reason}; {_STORED}", lost=True)
            if self._reopen is None:
                return DatabaseFailed(f"DuckDB gave the database up: {reason}; {_STORED}: close it and open it anew")
            for engine in list(self._engines):
                engine.leave()
            try:
                self._first.connection = self._reopen()
            except Exception as again:
                self._closed = True
                return DatabaseFailed(
                    f"DuckDB gave the database up: {reason}; {_STORED}, but the file cannot be opened: {_reason(again)}"
                )
            self._closed = False
            self.opening += 1
        advice = _MORE_MEMORY if any(words in reason.lower() for words in _TOO_LITTLE) else ""
        return DatabaseFailed(f"DuckDB gave the database up: {reason}; {_STORED}, the database is open again{advice}")

    def _moved(self, error: Exception, opening: int) -> Exception:
        """The error to raise for a connection that was found closed: another session may have opened the database anew
        since `opening`, or tried to."""
        with self._lock:
            if self.opening != opening:
                return DatabaseFailed(f"another session's error ended the database; {_STORED}", lost=True)
        return self._failed(error, opening) if self._closed else error

    def reopened(self, between: Callable[[], None]) -> None:
        """Closes the database, does what is to be done `between`, and opens it anew. Raises DatabaseFailed where only
        the caller of this package can open it."""
        with self._lock:
            if self._reopen is None:
                raise DatabaseFailed(f"the connection is its owner's, and cannot be opened anew here; {_STORED}")
            for engine in list(self._engines):
                engine.leave()
            try:
                between()
            finally:
                self._first.connection = self._reopen()
                self.opening += 1

    def joined(self, settings: Mapping[str, Any]) -> tuple[int, duckdb.DuckDBPyConnection]:
        """The current opening, and a connection of it."""
        with self._lock:
            return self.opening, session(self._first.connection, settings)


@contextmanager
def interruptible() -> Iterator[None]:
    """Around whatever DuckDB runs. Raises KeyboardInterrupt for what DuckDB makes of a signal whose handler raises,
    Ctrl-C's for one."""
    try:
        yield
    except RuntimeError as error:
        if type(error) is RuntimeError and "interrupted" in str(error):
            raise KeyboardInterrupt(str(error)) from None
        raise


@interruptible()
def session(connection: duckdb.DuckDBPyConnection, settings: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    """A further session: a cursor of DuckDB is a connection, without the settings of the first."""
    cursor = connection.cursor()
    for name, value in settings.items():
        set_option(cursor, name, value)
    return cursor


def set_option(connection: duckdb.DuckDBPyConnection, name: str, value: Any) -> None:
    """Sets a setting of DuckDB for a session. Raises ConfigurationError for what is no name."""
    connection.execute(f"set {checked_identifier(name, 'setting')} = ?", [value])


def _reason(error: Exception) -> str:
    """What DuckDB says of it, in one line: the error that ended the database, where it quotes that."""
    text = str(error)
    for mark in ("Original error:", "Caused by:"):
        if mark in text:
            text = text.partition(mark)[2]
    lines = [re.sub(r"^([A-Z]\w+ )+Error: ", "", line.strip(' "')) for line in text.splitlines()]
    return next(filter(None, lines), type(error).__name__)
