"""Writes a database file of DuckDB anew: after a checkpoint too, deleted rows stay in the old one's free blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import duckdb

from vector.engines.duckdb.quoting import first_line, quoted
from vector.errors import DatabaseFailed
from vector.files import replace_file

_NEW = "vector_rewritten"
# What two files of the same content say of themselves, but for their name.
_CATALOGUE = (
    "select schema_name, table_name, comment, sql from duckdb_tables() where database_name = ?",
    "select schema_name, table_name, column_name, comment from duckdb_columns() where database_name = ?"
    " and not internal",
    "select schema_name, table_name, constraint_name, constraint_text from duckdb_constraints()"
    " where database_name = ?",
    "select schema_name, view_name, comment from duckdb_views() where database_name = ? and not internal",
    "select schema_name, index_name, sql from duckdb_indexes() where database_name = ?",
)


class Session(Protocol):
    """What runs statements."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        """All rows of a select."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Runs a statement."""
        ...


def written_anew(session: Session, database: str, path: str) -> Path:
    """A file beside the database's with all that it has, its permissions too.

    Raises DatabaseFailed when that is not as the old one. The file is removed then, and one of an earlier time is, too.
    """
    old = Path(os.path.realpath(path))
    new = old.with_name(f"{old.name}.rewritten")
    remove(new)
    try:
        with _only_ours():
            session.execute(f"attach '{str(new).replace(chr(39), chr(39) * 2)}' as {_NEW}")
        try:
            session.execute(f"copy from database {quoted(database)} to {_NEW}")
            _compare(session, database, path)
            session.execute(f"checkpoint {_NEW}")
        finally:
            session.execute(f"detach {_NEW}")
        mode = old.stat()
        os.chmod(new, mode.st_mode & 0o7777)
        if hasattr(os, "chown"):
            with suppress(PermissionError):  # only root gives files away
                os.chown(new, mode.st_uid, mode.st_gid)
    except BaseException:
        remove(new)
        raise
    return new


def put_in_place(new: Path, path: str) -> None:
    """Replaces the database's file. Raises OSError, and DatabaseFailed where somebody has the old one open, who would
    go on with it, or a log of it is left, which would be read into the new one; the new file is removed then."""
    old = Path(os.path.realpath(path))
    try:
        # Refused where another process has it, and where another connection of this one has it open for writing.
        duckdb.connect(str(old), read_only=True).close()
    except duckdb.Error as error:
        remove(new)
        raise DatabaseFailed(
            f"{path} is open elsewhere, and cannot be replaced ({first_line(error)}); close it, and run this again"
        ) from None
    log = Path(f"{old}.wal")
    if log.exists() and log.stat().st_size:
        raise DatabaseFailed(f"{log} is there, though the database was closed; run this again")
    log.unlink(missing_ok=True)
    replace_file(new, old)


def remove(new: Path) -> None:
    """Removes a file that was begun, with its log."""
    for each in (new, Path(f"{new}.wal")):
        each.unlink(missing_ok=True)


def _compare(session: Session, database: str, path: str) -> None:
    for sql in _CATALOGUE:
        before, after = (sorted(map(str, session.query(sql, [name]))) for name in (database, _NEW))
        if before != after:
            raise DatabaseFailed(f"{path} cannot be written anew: DuckDB leaves out {_first_missing(before, after)}")
    tables = session.query("select schema_name, table_name from duckdb_tables() where database_name = ?", [database])
    for table in tables:
        name = ".".join(map(quoted, table))
        ((rows, copied),) = session.query(
            f"select (select count(*) from {quoted(database)}.{name}), (select count(*) from {_NEW}.{name})"
        )
        if rows != copied:
            raise DatabaseFailed(f"{path} cannot be written anew: {copied} of {rows} rows of {table[1]} were copied")


def _first_missing(before: Sequence[str], after: Sequence[str]) -> str:
    return next((each for each in before if each not in after), "nothing, and adds something")[:200]


@contextmanager
def _only_ours() -> Iterator[None]:
    """Files that are made inside are their owner's only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
