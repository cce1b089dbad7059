"""Opens the store of a dbt target: to write, or to search while somebody else may be writing.

    store = open_to_write(target)                   # takes in what was logged beside the warehouse
    store = open_to_search(target)                  # for one question: waits for nobody
    store = open_to_search(target, stays=True)      # for as long as one likes: keeps nobody from writing
    result = search(store.latest(), ...)            # each question on the warehouse as it is now

On DuckDB one process at a time has the database's file open for writing. Who searches then reads a read copy
(vector.engines.read_copy), which the writers of this package make before and after their work, and logs beside
the warehouse (vector.store.side_log). Any other database lets everybody read and write: there the two are the same.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from vector.contracts import ledgers
from vector.contracts.models import VectorRetrieval, VectorRetrievalHit
from vector.engines import engine_for_target, read_only_engine, read_only_file
from vector.engines.base import Engine
from vector.engines.read_copy import (
    ReadCopy,
    drop_copies,
    folder_beside,
    is_current,
    made_private,
    newest_copy,
    publish_copy,
)
from vector.errors import ConfigurationError, DatabaseBusy
from vector.files import is_locked, locked
from vector.project.profile import Target
from vector.project.variables import load_variables
from vector.store.ledger_io import SaveResult
from vector.store.side_log import erasures_of, keep_beside, take_in
from vector.store.store import VectorStore

logger = logging.getLogger(__name__)

DBT_VAR = "read_copy"
# Seconds that a command waits for a search that has the database open, and a search without a copy for a writer.
PATIENCE = 2.0
_PAUSE = 0.02
# Somebody may write all the time, and a copy is not for free.
_REST = 20
_SOON = 0.5

Result = TypeVar("Result")


def open_to_write(target: Target, patience: float = PATIENCE) -> VectorStore:
    """The store, with the searches in it that were logged beside the warehouse. Raises ConfigurationError; DatabaseBusy
    when another process has the database open for longer than `patience` seconds."""
    store = _patiently(lambda: VectorStore(engine=engine_for_target(target)), patience)
    try:
        take_in(store)
    except BaseException:
        store.close()
        raise
    return store


def open_to_search(target: Target, stays: bool = False, variables: Mapping[str, Any] | None = None) -> VectorStore:
    """A store to search with. Where it `stays` open it reads a copy, and so never keeps anybody from writing; else it
    has the database itself, where that is free, and also with `read_copy: false`. `variables`: what `--vars` gives.

    Raises ConfigurationError; DatabaseBusy when the database is being written and there is no copy yet.
    """
    file = read_only_file(target)
    if file is None or not file.is_file():  # no file of DuckDB's; or a missing one, which is told
        return VectorStore(engine=engine_for_target(target))
    copies = _wants_copies(target, variables)
    if stays and copies:
        return _patiently(lambda: SearchStore.opened(target, file), PATIENCE)
    return _patiently(lambda: _for_one_question(target, file, copies), PATIENCE)


def _for_one_question(target: Target, file: Path, copies: bool) -> VectorStore:
    has_copy = copies and newest_copy(file) is not None
    # A writer that waits for its turn, or comes back after dbt, would find the database taken.
    if not (has_copy and _is_marked(file)):
        try:
            if not os.access(file, os.W_OK):
                return SearchStore(read_only_engine(target, file), target, file, None)
            return VectorStore(engine=engine_for_target(target))
        except DatabaseBusy:
            if not has_copy:
                raise
    return SearchStore.of_newest(target, file)


def _patiently(work: Callable[[], Result], seconds: float) -> Result:
    end = time.monotonic() + seconds
    while True:
        try:
            return work()
        except DatabaseBusy:
            if time.monotonic() >= end:
                raise
        time.sleep(_PAUSE)


@contextmanager
def writing(target: Target, variables: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Around the work of a command that has the database open for long, or again and again: searches go to the read
    copy meanwhile, which is renewed before and after."""
    file = read_only_file(target)
    if file is None or not file.is_file() or not _wants_copies(target, variables):
        renew_copy(target, variables)  # deletes those that are not wanted
        yield
        return
    with _marked(file):
        publish_copy(file, PATIENCE)
        try:
            yield
        finally:
            publish_copy(file, PATIENCE)


def renew_copy(target: Target, variables: Mapping[str, Any] | None = None, wait: float = 0.0) -> bool:
    """Makes the read copy anew, unless it is of the database as it is, or somebody has that open for longer than `wait`
    seconds. Where the variable `read_copy` is false, all copies are deleted. Whether there is a copy now."""
    file = read_only_file(target)
    if file is None or not file.is_file():
        return False
    if not _wants_copies(target, variables):
        drop_copies(file)
        return False
    return (publish_copy(file, wait) or newest_copy(file)) is not None


class Renewal:
    """Renews a read copy now and then: not before `_REST` times the last one's duration have passed, or `_SOON` seconds
    where there was none to be had."""

    def __init__(self, renew: Callable[[], Any]) -> None:
        self._renew, self._not_before = renew, 0.0

    def __call__(self) -> None:
        """Renews the copy, if it is time."""
        started = time.monotonic()
        if started >= self._not_before:
            made = self._renew()
            ended = time.monotonic()
            self._not_before = ended + (_REST * (ended - started) if made else _SOON)


@contextmanager
def _marked(file: Path) -> Iterator[None]:
    """Tells searches not to take the database itself. Another writer's mark does as well."""
    with ExitStack() as held:
        with suppress(OSError):  # then searches try it
            if made_private(folder_beside(file)):
                end = time.monotonic() + PATIENCE / 4
                while held.enter_context(locked(_mark(file))) and time.monotonic() < end:
                    held.close()
                    time.sleep(_PAUSE)
        yield


def _is_marked(file: Path) -> bool:
    try:
        return is_locked(_mark(file))
    except OSError:
        return False


def _mark(file: Path) -> Path:
    return folder_beside(file) / "writer.lock"


def _wants_copies(target: Target, variables: Mapping[str, Any] | None) -> bool:
    value = load_variables(target.project_dir, variables).get(DBT_VAR, True)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{DBT_VAR} in {target.project_dir / 'dbt_project.yml'} is {value!r}; true or false")
    return value


class SearchStore(VectorStore):
    """A store that reads a read copy, or the database read-only. What is searched is logged beside the warehouse, or,
    where nothing can be written there, not at all, which a log line says once. Nothing else can be saved."""

    def __init__(self, engine: Engine, target: Target, file: Path, copy: ReadCopy | None) -> None:
        super().__init__(engine=engine)
        self._target, self._file, self._copy = target, file, copy
        # Of one that stays: the store over the newest copy; and there, the one that stays.
        self._newest: SearchStore | None = None
        self._of: SearchStore | None = None
        self._turn = threading.Lock()
        self._renew = Renewal(lambda: publish_copy(file))
        self._told = False

    @classmethod
    def opened(cls, target: Target, file: Path) -> SearchStore:
        """One that stays, over a copy that is current if that can be. Raises DatabaseBusy where there is none."""
        copy = publish_copy(file) or newest_copy(file)
        if copy is None:
            raise DatabaseBusy(
                f"{file} is in use by another process, and there is no read copy of it yet: `vector embed` and"
                " `vector refresh` make one; wait for who uses it, or stop it"
            )
        store = cls(read_only_engine(target, copy.path), target, file, copy)
        store._move_to(copy)
        return store

    @classmethod
    def of_newest(cls, target: Target, file: Path) -> SearchStore:
        """One over the newest copy, current or not."""
        for _ in range(3):  # a copy may be replaced before it is opened
            if copy := newest_copy(file):
                try:
                    return cls(read_only_engine(target, copy.path), target, file, copy)
                except ConfigurationError:
                    if copy.path.is_file():
                        raise
        raise DatabaseBusy(f"{file} is in use by another process, and there is no read copy of it")

    @property
    def as_of(self) -> datetime | None:
        """When the copy was made, if it is one."""
        return None if self._copy is None else self._copy.made_utc

    @property
    def lasting(self) -> VectorStore:
        """The store that was opened; what is kept from one question to the next is kept by it."""
        return self._of or self

    def latest(self) -> VectorStore:
        """A store over the newest copy, which stays with it, for all that one question asks. Where the database was
        written by somebody who makes no copies, dbt say, one is made when it is at rest."""
        # Who comes while another one looks for a newer copy goes on with the one before.
        if self._newest is not None and self._turn.acquire(blocking=False):
            try:
                self._follow()
            finally:
                self._turn.release()
        return self._newest or self

    def _follow(self) -> None:
        try:
            copy = newest_copy(self._file)
            if not is_current(copy, self._file):
                self._renew()
                copy = newest_copy(self._file)
            if copy is not None and copy != self._copy:
                self._move_to(copy)
        except (OSError, ConfigurationError) as error:
            logger.warning("%s: the newest state cannot be read (%s); searching that of before", self._file, error)

    def _move_to(self, copy: ReadCopy) -> None:
        engine = self.engine if copy == self._copy else read_only_engine(self._target, copy.path)
        newest = SearchStore(engine, self._target, self._file, copy)
        newest._of = self
        # Closed when the last question is done with it.
        weakref.finalize(newest, engine.close)
        self.engine, self._copy, self._newest = engine, copy, newest

    def save_retrievals(
        self, retrievals: Iterable[VectorRetrieval], hits: Iterable[VectorRetrievalHit] = ()
    ) -> SaveResult:
        """Logs searches with their hits beside the warehouse. Raises InvalidRecord as a store does, but for a hit of an
        unknown chunk, which the next writer leaves out."""
        kept, kept_hits = self._checked_retrievals(retrievals, hits)
        try:
            if not made_private(folder_beside(self._file)):
                raise PermissionError(None, "others can write to it")
            erasures = erasures_of(self.engine)
            for each in kept:
                of_it = [hit for hit in kept_hits if hit.retrieval_id == each.retrieval_id]
                keep_beside(folder_beside(self._file), each, of_it, erasures)
        except OSError as error:
            if not (self._of or self)._told:
                (self._of or self)._told = True
                logger.warning(
                    "searches are not logged: %s cannot be written (%s)", folder_beside(self._file), error.strerror
                )
        return SaveResult(inserted=len(kept))

    def _write(self, ledger: ledgers.Ledger, work: Callable[[], Any]) -> Any:
        raise ConfigurationError(f"{self._file} is open for searching only; nothing can be written to {ledger.table}")
