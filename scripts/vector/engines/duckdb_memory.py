"""How much memory DuckDB may use while it takes in rows: little at first, more when that does not do.

What DuckDB caches of its tables grows to its `memory_limit`, by default most of the machine's memory. A low limit keeps
the cache small, but the indexes of a large table may not fit. One limit holds for all sessions of a process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb

# MiB to begin with where little will do, and the most that is given bit by bit.
FIRST, MOST = 128, 64 * 1024


class MemoryLimit:
    """The limit that the sessions of one engine, and of those made from it, share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._lowered: int | None = None  # MiB
        self._before = ""

    @contextmanager
    def lowered(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Inside, the limit is low, until `more`. One that was lower before stays."""
        with self._lock:
            if self._users == 0 and self._is_above_first(connection):
                with suppress(duckdb.OutOfMemoryException):  # more than that is in use: then it stays as it is
                    self._set(connection, FIRST)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._lowered is not None:
                    self._lowered = None
                    connection.execute("set memory_limit = ?", [self._before])

    def more(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Doubles a lowered limit, for something that did not fit; whether there was one to double."""
        with self._lock:
            if self._lowered is None or self._lowered >= MOST:
                return False
            self._set(connection, 2 * self._lowered)
            return True

    def _is_above_first(self, connection: duckdb.DuckDBPyConnection) -> bool:
        self._before, is_above = connection.execute(
            "select current_setting('memory_limit'), parse_formatted_bytes(current_setting('memory_limit'))"
            f" > parse_formatted_bytes('{FIRST} MiB')"
        ).fetchone()
        return is_above

    def _set(self, connection: duckdb.DuckDBPyConnection, mib: int) -> None:
        connection.execute(f"set memory_limit = '{mib} MiB'")
        self._lowered = mib
