"""Read copies of a database file: what searches read while a process has the database itself open for writing.

A copy is made of a file at rest, whole or not at all, and is never changed; a newer one takes its place under another
name, so that who reads the older one goes on with it. Copies are in a folder beside the database, its owner's only:

    .vector-warehouse.duckdb/copies/<nanoseconds>-<random>/warehouse.duckdb      the catalog's name is the file's
                                                          copy.json              of which state of the database it is
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vector.errors import DatabaseBusy
from vector.files import is_ours_alone, locked, rename_new
from vector.wording import UTF_8

logger = logging.getLogger(__name__)

# The folder of the copies, beside the database.
COPIES = "copies"

_CHILD = Path(__file__).with_name("copy_child.py")
_BUSY, _CHANGED = 3, 4
# Seconds to wait for another process that makes a copy, or drops copies.
_WAIT_SECONDS = 60.0
# Bytes that a copy leaves free on the disk.
_SPARE = 64 * 1024 * 1024

Stamp = list[list[int]]


@dataclass(frozen=True)
class ReadCopy:
    """A copy: its file, and the stamp that the database had."""

    path: Path
    stamp: Stamp

    @property
    def made_utc(self) -> datetime:
        """When it was made."""
        return datetime.fromtimestamp(int(self.path.parent.name.partition("-")[0]) / 1e9, UTC)


def folder_beside(database: str | Path) -> Path:
    """The folder for what is kept beside a database's file."""
    real = Path(os.path.realpath(database))
    return real.with_name(f".vector-{real.name}")


def made_private(folder: Path) -> bool:
    """Makes the folder for its owner only; whether it is ours, and nobody else can write to it. Who can, decides what a
    search finds, and what is logged. A folder that is refused is told in the log. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_ours_alone(folder):
        return True
    logger.warning("%s is refused: others can write to it, or own it; `chmod go-w` it, or delete it", folder)
    return False


def stamp_of(database: str | Path) -> Stamp:
    """What a write changes: number, size and time of change of the file and of its log. Raises OSError where there is
    no file."""
    real = os.path.realpath(database)
    stamps = [list(_numbers(os.stat(real)))]
    try:
        found = os.stat(f"{real}.wal")
        stamps.append(list(_numbers(found)) if found.st_size else [0, 0, 0])
    except FileNotFoundError:
        stamps.append([0, 0, 0])
    return stamps


def _numbers(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def newest_copy(database: str | Path) -> ReadCopy | None:
    """The latest copy, if there is one."""
    copies = folder_beside(database) / COPIES
    for name in sorted(_names(copies), reverse=True):
        with suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads((copies / name / "copy.json").read_text(encoding="utf-8"))
            path = copies / name / Path(os.path.realpath(database)).name
            if path.is_file():
                return ReadCopy(path, told["stamp"])
    return None


def _names(copies: Path) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        return [name for name in os.listdir(copies) if not name.startswith(".")]
    return []


def is_current(copy: ReadCopy | None, database: str | Path) -> bool:
    """Whether the database has not been written to since the copy was made."""
    return copy is not None and copy.stamp == stamp_of(database)


def publish_copy(database: str | Path, wait: float = 0.0) -> ReadCopy | None:
    """The copy of the database as it is now, made if there is none; earlier ones are deleted. None where somebody has
    the database open for writing, or writes to it, for longer than `wait` seconds, or the copy cannot be made, which a
    log line says: a copy is a convenience, and must not fail what asks for it."""
    end = time.monotonic() + wait
    try:
        if not made_private(folder_beside(database)):
            return None
        while True:
            with _only_one(database, max(wait, 0.05)) as alone:
                found = _published(database) if alone else None
            if found or time.monotonic() >= end:
                return found
            time.sleep(0.05)
    except OSError as error:
        logger.warning("%s: no read copy is made (%s)", folder_beside(database), error.strerror or error)
        return None


def _published(database: str | Path) -> ReadCopy | None:
    known = newest_copy(database)
    stamp = stamp_of(database)
    if known and known.stamp == stamp:
        return known
    real = Path(os.path.realpath(database))
    copies = folder_beside(database) / COPIES
    copies.mkdir(exist_ok=True, mode=0o700)
    _remove_begun(copies)
    size = stamp[0][1] + stamp[1][1]
    if shutil.disk_usage(copies).free < size + _SPARE:
        logger.warning("%s: no read copy is made: the disk has no room for %d MB", copies, size // 1_000_000)
        return None
    begun = copies / f".begun-{secrets.token_hex(8)}"
    begun.mkdir(mode=0o700)
    try:
        if not _copied(begun, real) or stamp_of(database) != stamp:
            return None
        (begun / "copy.json").write_text(json.dumps({"stamp": stamp}), encoding="utf-8")
        made = copies / f"{time.time_ns():020d}-{secrets.token_hex(4)}"
        rename_new(begun, made)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    for name in _names(copies):
        if name < made.name:
            shutil.rmtree(copies / name, ignore_errors=True)  # on Windows not while somebody reads it: the next time
    return ReadCopy(made / real.name, stamp)


def _copied(folder: Path, real: Path) -> bool:
    import subprocess  # by who makes a copy

    # Neither the user's site packages nor his settings of Python: the child needs nothing but Python.
    command = [sys.executable, "-I", "-S", "-X", "utf8", str(_CHILD), str(folder), str(real), f"{real}.wal"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **UTF_8},
    )
    if done.returncode in (0, _BUSY, _CHANGED):
        return done.returncode == 0
    raise OSError(done.stderr.strip().rpartition("\n")[2] or f"the copying process ended with {done.returncode}")


def _remove_begun(copies: Path) -> None:
    """Removes what a killed process has begun: only one is at it."""
    for each in copies.glob(".begun-*"):
        shutil.rmtree(each, ignore_errors=True)


def drop_copies(database: str | Path) -> bool:
    """Deletes all copies; whether there were any. Raises DatabaseBusy where another process makes one and does not end,
    OSError for one that cannot be deleted."""
    copies = folder_beside(database) / COPIES
    if not copies.is_dir():
        return False
    with _only_one(database, _WAIT_SECONDS) as alone:
        if not alone:
            raise DatabaseBusy(f"{copies}: another process makes a copy; wait for it, and run this again")
        _remove_begun(copies)
        found = _names(copies)
        for name in found:
            shutil.rmtree(copies / name)
    return bool(found)


@contextmanager
def _only_one(database: str | Path, seconds: float) -> Iterator[bool]:
    """One at a time among the processes of this machine; whether it is held, after so many seconds at most."""
    end = time.monotonic() + seconds
    while True:
        with locked(folder_beside(database) / "copies.lock") as holder:
            if holder is None or time.monotonic() >= end:
                yield holder is None
                return
        time.sleep(0.02)
