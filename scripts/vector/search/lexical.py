"""Lexical search: BM25 over the texts that a space's search may find, with an index that keeps up with them. A chunk's
text is its context (title and headings) and its content.

The index of a space and a language is a SQLite file under VECTOR_CACHE_DIR, which the processes of a host share, or is
in memory where there is no place for files. A question first asks the engine whether there was a write, as far as it
can tell, and then for a fingerprint of the current chunks. Where that is another one than the index's, digests of the
chunks by the first characters of their ids tell which of them to look at, and only texts that are new or changed are
read. A change is one transaction: whatever ends a process, the index is as before or as after it.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import TypeVar
from weakref import WeakKeyDictionary, finalize

from vector.contracts.ledgers import Column, key_column
from vector.engines.base import Engine, SearchHit
from vector.engines.local_copies import keep_up, warehouse_of
from vector.engines.vector_cache import default_folder, name_of_copy, only_a_copy, private_folder
from vector.errors import ConfigurationError
from vector.search import postings
from vector.search.language import NEUTRAL, Language, language_name, stemmer_version
from vector.search.postings import IndexedText, Texts
from vector.search.tokens import VERSION, Analyzers
from vector.store import VectorStore

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

# Characters of a chunk's id by which changes are found: of SHA-256, some 15 chunks of a million have the same.
_PREFIX = 4
_PREFIX_COLUMN = Column("prefix", "prefix", "text", length=64)
# Chunks whose texts are asked for in one statement.
_CHUNKS = 20_000
# Of the chunks that there are now, those whose text is to be read; of those that the index has, those that are gone.
_FRESH = (
    "select now.chunk_id from now left join chunk on chunk.chunk_id = now.chunk_id where chunk.digest is not now.digest"
)
_GONE = (
    f"select chunk_id from chunk where substr(chunk_id, 1, {_PREFIX}) in (select prefix from compared)"
    " and chunk_id not in (select chunk_id from now)"
)
# Seconds that a process waits for another one, which brings the index up to date.
_PATIENCE = 1800


class LexicalIndex:
    """The index of words of a space's current chunks, each in its language, in a file; in memory without a `path`."""

    def __init__(self, path: Path | None = None, language: Language = NEUTRAL):
        self.path = path
        self.version = f"{postings.LAYOUT}-{VERSION}-{stemmer_version(language)}"
        self._analyzers = Analyzers(language)
        self._texts: Texts | None = None
        self._kept_up = False
        self._lock = RLock()
        self._memory: sqlite3.Connection | None = None
        if path is None:
            self._memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            finalize(self, self._memory.close)

    def best(
        self,
        query: str,
        top_k: int,
        only: Iterable[str] | None = None,
        source_types: Collection[str] = (),
        source_ids: Collection[str] | None = None,
    ) -> tuple[list[SearchHit], int]:
        """The best hits that have a word of the question, best first, ties by chunk id; and the number of texts
        compared: all, or those of the chunks `only`, of the source types, and of the sources. Each of `only` is looked
        up, so it is for some chunks, not for most. The statistics of words are those of all texts in any case.

        Raises ConfigurationError when the file is damaged, or was deleted since it was brought up to date.
        """
        question = self._analyzers.question(query)
        try:
            with self._transaction("deferred") as db:
                if self._kept_up and postings.get_state(db, "fingerprint") is None:
                    raise ConfigurationError(f"{self.path}: somebody has deleted the index of words; ask again")
                if self._texts is None or self._texts.generation != postings.generation(db):
                    self._texts = postings.read_texts(db)
                return postings.best(db, self._texts, question, top_k, only, source_types, source_ids)
        except (sqlite3.DatabaseError, OSError) as error:
            if not isinstance(error, (sqlite3.OperationalError, OSError)):  # damaged, not held, or gone
                with suppress(OSError):
                    self.delete()
            raise ConfigurationError(f"{self.path}: the index of words cannot be read ({error}); ask again") from None

    def change(self, texts: Iterable[IndexedText], gone: Collection[str] = ()) -> None:
        """Takes out the chunks that are `gone`, and takes in texts, over those that their chunks had."""
        with self._transaction("immediate") as db:
            kept = list(texts)
            _stage(db, "changed", [(chunk_id,) for chunk_id in {*gone, *(each.chunk_id for each in kept)}])
            self._change(db, kept)

    def keep_up(self, engine: Engine, embedding_space_id: str) -> None:
        """Takes in what has changed in the space. Waits for another process that does so."""
        self._kept_up = True
        token = engine.change_token()
        with self._transaction("deferred") as db:
            if token is not None and postings.get_state(db, "token") == token:
                return
        fingerprint = engine.current_fingerprint(embedding_space_id)
        with self._transaction("deferred") as db:
            if token is None and postings.get_state(db, "fingerprint") == fingerprint:
                return
        with self._transaction("immediate") as db:
            if postings.get_state(db, "fingerprint") != fingerprint:
                self._change(db, _Current(engine, embedding_space_id).changed_texts(db))
                postings.set_state(db, "fingerprint", fingerprint)
            postings.set_state(db, "token", token or "")

    def delete(self) -> None:
        """Deletes the index, if it is in a file. Raises OSError."""
        self._texts = None
        if self.path is not None:
            for suffix in ("", "-journal"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _change(self, db: sqlite3.Connection, texts: Iterable[IndexedText]) -> None:
        postings.remove(db, "select chunk_id from changed")
        postings.add(db, texts, self._analyzers)
        postings.merge(db)

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        """A transaction in the index, which is made first where there is none, or one of another version."""
        with self._lock, self._opened() as db:
            if _patiently(lambda: _version(db)) != self.version:
                _patiently(lambda: db.execute("begin immediate"))
                with _committed(db):
                    if _version(db) != self.version:  # another process may have made it meanwhile
                        _make(db, self.version)
            _patiently(lambda: db.execute(f"begin {kind}"))
            with _committed(db):
                _patiently(lambda: _version(db))  # a read takes the lock of one that is deferred
                yield db

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if self._memory is not None:
            yield self._memory
            return
        assert self.path is not None
        with suppress(FileExistsError):  # for its owner only
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        # For each time anew, so that a file that somebody has deleted is not used on.
        db = sqlite3.connect(self.path, timeout=1, isolation_level=None)
        try:
            yield db
        finally:
            db.close()


def _patiently(step: Callable[[], Result]) -> Result:
    """Does what another process may have to be waited for. SQLite waits a second, in which Python sees no Ctrl-C."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise


@contextmanager
def _committed(db: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("rollback")
        raise
    _patiently(lambda: db.execute("commit"))


def _version(db: sqlite3.Connection) -> str | None:
    made = db.execute("select 1 from sqlite_master where name = 'state'").fetchone()
    return postings.get_state(db, "version") if made else None


def _make(db: sqlite3.Connection, version: str) -> None:
    for (table,) in db.execute("select name from sqlite_master where type = 'table'").fetchall():
        db.execute(f'drop table "{table}"')
    for statement in postings.SCHEMA.split(";"):
        db.execute(statement)
    postings.set_state(db, "version", version)
    postings.set_state(db, "generation", "")


def _stage(
    db: sqlite3.Connection, table: str, rows: Iterable[tuple], columns: str = "chunk_id text primary key"
) -> None:
    """The rows as a temporary table, over an earlier one."""
    db.execute(f"drop table if exists temp.{table}")
    db.execute(f"create temp table {table} ({columns}) without rowid")
    marks = ", ".join("?" * len(columns.split(",")))
    db.executemany(f"insert into temp.{table} values ({marks})", rows)


class _Current:
    """The current chunks of a space, as the index compares them with its own."""

    def __init__(self, engine: Engine, embedding_space_id: str):
        self.engine = engine
        self.space = embedding_space_id
        self.searched = f"{engine.table('embedding_current')} as searched"

    def changed_texts(self, db: sqlite3.Connection) -> Iterable[IndexedText]:
        """Texts that are new or changed. A table `changed` has their chunks, and those that are gone."""
        digests = dict(self._digests())
        known = dict(db.execute("select prefix, digest from prefix"))
        prefixes = [prefix for prefix in digests.keys() | known.keys() if digests.get(prefix) != known.get(prefix)]
        db.execute("delete from prefix")
        db.executemany("insert into prefix values (?, ?)", digests.items())
        if known:
            self._compare(db, prefixes, len(prefixes) < len(digests) / 4)
            fresh = [chunk_id for (chunk_id,) in db.execute(_FRESH)]
            if len(fresh) <= max(_CHUNKS, db.execute("select count(*) from chunk").fetchone()[0] / 2):
                _stage(db, "changed", db.execute(f"{_FRESH} union {_GONE}").fetchall())
                return self._texts_of(fresh)
        # Most are new: all are read, in one statement.
        _stage(db, "changed", db.execute("select chunk_id from chunk").fetchall())
        return self._all_texts()

    def _compare(self, db: sqlite3.Connection, prefixes: list[str], some: bool) -> None:
        _stage(db, "compared", [(prefix,) for prefix in prefixes], "prefix text primary key")
        rows = self._rows(prefixes if some else None)
        _stage(db, "now", rows, "chunk_id text primary key, digest integer")

    def _digests(self) -> Iterator[tuple[str, str]]:
        prefix = f"left(searched.chunk_id, {_PREFIX})"
        digest = self.engine.digest_of(self.engine.chunk_digest())
        return self.engine.stream(
            f"select {prefix}, {digest} from {self.searched} where searched.embedding_space_id = ? group by {prefix}",
            [self.space],
        )

    def _rows(self, prefixes: list[str] | None) -> Iterable[tuple]:
        select = f"select searched.chunk_id, {self.engine.chunk_digest()} from {self.searched}"
        where = " where searched.embedding_space_id = ?"
        if prefixes is None:
            return self.engine.stream(select + where, [self.space])
        # Not streamed, as a stream of DuckDB is of another session, which has no staged rows.
        with self.engine.staged([_PREFIX_COLUMN], [(prefix,) for prefix in prefixes]) as staged:
            join = f" inner join {staged} as staged on staged.prefix = left(searched.chunk_id, {_PREFIX})"
            return self.engine.query(select + join + where, [self.space])

    def _all_texts(self) -> Iterator[IndexedText]:
        return map(_indexed, self.engine.stream(self._select_texts(), [self.space]))

    def _texts_of(self, chunk_ids: list[str]) -> Iterator[IndexedText]:
        for start in range(0, len(chunk_ids), _CHUNKS):
            part = [(chunk_id,) for chunk_id in chunk_ids[start : start + _CHUNKS]]
            with self.engine.staged([key_column("chunk_id")], part) as staged:
                join = f" inner join {staged} as staged on staged.chunk_id = searched.chunk_id"
                rows = self.engine.query(self._select_texts(join), [self.space])
            yield from map(_indexed, rows)

    def _select_texts(self, join: str = "") -> str:
        return (
            f"select searched.chunk_id, searched.input_content_sha256, {self.engine.chunk_digest()},"
            f" searched.source_id, searched.source_type, chunk.context, chunk.content from {self.searched}"
            f" inner join {self.engine.table('chunk')} as chunk on chunk.chunk_id = searched.chunk_id"
            f"{join} where searched.embedding_space_id = ? order by searched.chunk_id"
        )


def _indexed(row: tuple) -> IndexedText:
    *rest, context, content = row
    return IndexedText(*rest, f"{context}\n{content}" if context else content)


class LexicalIndexes:
    """The index of each space and language, in files, or, where `folder` is None or cannot be used, in memory."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self._indexes: dict[str, LexicalIndex] = {}
        self._erasures: int | None = None

    @classmethod
    def from_environment(cls) -> LexicalIndexes:
        """VECTOR_CACHE_DIR (empty: no files; default ~/.cache/vector-runtime)."""
        return cls(default_folder())

    def current(self, engine: Engine, embedding_space_id: str, language: Language = NEUTRAL) -> LexicalIndex:
        """The index over the space's current chunks, brought up to date.

        Raises ConfigurationError when the stemmer of the language, or its stop words, are not installed.
        """
        erasures = keep_up(self.folder, engine)
        if self._erasures != erasures:
            self._indexes.clear()
        self._erasures = erasures
        identity = f"{warehouse_of(engine)}/{embedding_space_id}/{language_name(language)}"
        index = self._indexes.get(identity)
        # The folder is looked at each time: somebody may have deleted it, or let others write to it.
        if index is None or (index.path and index.path != self._path(identity)):
            index = LexicalIndex(self._path(identity), language)
        self._indexes[identity] = index = self._up_to_date(index, engine, embedding_space_id, language)
        return index

    def _up_to_date(self, index: LexicalIndex, engine: Engine, space: str, language: Language) -> LexicalIndex:
        for _ in range(2):
            try:
                index.keep_up(engine, space)
                return index
            except (sqlite3.OperationalError, OSError) as error:  # a full disk, a folder that is gone or read-only
                logger.warning(
                    "%s: no index of words is kept for the next process (%s); see VECTOR_CACHE_DIR", index.path, error
                )
                index = LexicalIndex(None, language)
            except sqlite3.DatabaseError:  # a damaged file is only a lost copy
                index.delete()
        index.keep_up(engine, space)
        return index

    def _path(self, identity: str) -> Path | None:
        if self.folder is None:
            return None
        folder = self.folder / "lexical"
        with only_a_copy(folder):
            if private_folder(self.folder, make=True) and private_folder(folder, make=True):
                for earlier in folder.glob("*_*"):  # of versions that had a folder an index
                    shutil.rmtree(earlier, ignore_errors=True)
                return folder / f"{name_of_copy(identity)}.sqlite"
        return None


# The indexes of each store, as long as it lives.
INDEXES: WeakKeyDictionary[VectorStore, LexicalIndexes] = WeakKeyDictionary()


def indexes_of(store: VectorStore) -> LexicalIndexes:
    """The indexes that searches of this store use."""
    kept_by = store.lasting
    if kept_by not in INDEXES:
        INDEXES[kept_by] = LexicalIndexes.from_environment()
    return INDEXES[kept_by]
