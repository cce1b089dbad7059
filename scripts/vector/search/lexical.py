"""Lexical search: BM25 over the texts that a space's search may find, by the library bm25s.

The index is built in this process from the texts that the engine reads, the same on every engine, one for each language
that is asked for, and kept in memory and in a folder under VECTOR_CACHE_DIR. It is good for as long as the engine's
fingerprint of the current chunks is the same, and built anew when that changes.

The scores are those of Lucene's BM25 (Kamphuis, de Vries, Boytsov & Lin 2020, "Which BM25 do you mean?"), k1 = 1.5,
b = 0.75: for each word of the question, ln(1 + (N - n + 0.5) / (n + 0.5)) x f / (f + k1 (1 - b + b L / mean L)), where
n of N texts have the word, and the text has it f times among its L words.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from vector.engines.base import Engine, SearchHit
from vector.engines.local_copies import erasure_number, keep_up
from vector.engines.vector_cache import default_folder, only_a_copy, private_folder, top_rows
from vector.errors import ConfigurationError
from vector.files import rename_new
from vector.search.language import NEUTRAL, stemmer_version
from vector.search.tokens import VERSION, Analyzer
from vector.store import VectorStore

K1, B = 1.5, 0.75


@dataclass(frozen=True)
class LexicalIndex:
    """The texts of a space's current chunks, in the order of chunk ids; `bm25` is None where none has a word."""

    fingerprint: str
    chunk_ids: np.ndarray
    content_sha256: np.ndarray
    bm25: Any
    language: str = NEUTRAL

    def best(self, query: str, top_k: int, only: Iterable[str] | None = None) -> tuple[list[SearchHit], int]:
        """The best hits that have a word of the question, best first, ties by chunk id; and the number of texts
        compared: all, or the chunks `only`. The statistics of words are those of all texts in either case."""
        positions = np.arange(len(self.chunk_ids)) if only is None else self._positions(only)
        known = (
            []
            if self.bm25 is None
            else [word for word in self._analyzer.question(query) if word in self.bm25.vocab_dict]
        )
        if not known:
            return [], len(positions)
        scores = self.bm25.get_scores(known)[positions]
        found, scores = positions[scores > 0], scores[scores > 0]
        # Positions are in the order of the ids, and so break ties as the ids would.
        rows = top_rows(scores, found, top_k)
        hits = [
            SearchHit(str(self.chunk_ids[i]), str(self.content_sha256[i]), float(score))
            for i, score in zip(found[rows], scores[rows], strict=True)
        ]
        return hits, len(positions)

    def _positions(self, chunk_ids: Iterable[str]) -> np.ndarray:
        # By a set: numpy would sort the ids, which takes ten times as long.
        wanted = set(chunk_ids)
        return np.flatnonzero(np.fromiter(map(wanted.__contains__, self._ids), bool, len(self._ids)))

    @cached_property
    def _analyzer(self) -> Analyzer:
        return Analyzer(self.language)

    @cached_property
    def _ids(self) -> list[str]:
        return self.chunk_ids.tolist()


class LexicalIndexes:
    """The last index of each space and language, in memory and, unless `folder` is None, in files."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self._indexes: dict[str, LexicalIndex] = {}
        self._erasures: int | None = None

    @classmethod
    def from_environment(cls) -> LexicalIndexes:
        """VECTOR_CACHE_DIR (empty: no files; default ~/.cache/vector-runtime)."""
        return cls(default_folder())

    def current(self, engine: Engine, embedding_space_id: str, language: str = NEUTRAL) -> LexicalIndex:
        """The index over the space's current chunks, read from memory or its files, or built.

        Raises ConfigurationError when bm25s, or the stemmer of the language, is not installed.
        """
        warehouse = f"{engine.name}/{engine.location}/{engine.schema}"
        identity = f"{warehouse}/{embedding_space_id}/{language}"
        erasures = erasure_number(engine)
        keep_up(self.folder, warehouse, erasures)
        if self._erasures != erasures:
            self._indexes.clear()
        self._erasures = erasures
        version = f"{VERSION}-{stemmer_version(language)}"
        fingerprint = f"{version}-{erasures}-{engine.current_fingerprint(embedding_space_id)}"
        index = self._indexes.get(identity)
        if index is None or index.fingerprint != fingerprint:
            index = self._load(identity, fingerprint, language)
            if index is None:
                index = build_index(fingerprint, _current_texts(engine, embedding_space_id), language)
                self._store(identity, index)
            self._indexes[identity] = index
        return index

    def _path(self, identity: str, fingerprint: str) -> Path | None:
        name = hashlib.sha256(identity.encode()).hexdigest()[:32]
        return self.folder / "lexical" / f"{name}_{fingerprint}" if self.folder else None

    def _load(self, identity: str, fingerprint: str, language: str) -> LexicalIndex | None:
        path = self._path(identity, fingerprint)
        try:
            if path is None or not (private_folder(path.parent.parent) and private_folder(path.parent)):
                return None
            if not path.is_dir():
                return None
            with np.load(path / "chunks.npz", allow_pickle=False) as arrays:
                chunk_ids, content_sha256 = arrays["chunk_ids"], arrays["content_sha256"]
            bm25 = _bm25s().BM25.load(path / "bm25", show_progress=False) if (path / "bm25").is_dir() else None
        except Exception:
            return None  # a damaged file, or one of another version of the library, is only a lost copy
        return LexicalIndex(fingerprint, chunk_ids, content_sha256, bm25, language)

    def _store(self, identity: str, index: LexicalIndex) -> None:
        path = self._path(identity, index.fingerprint)
        if path is None:
            return
        with only_a_copy(path.parent):
            if not (private_folder(path.parent.parent, make=True) and private_folder(path.parent, make=True)):
                return
            # Into another folder first: a reader never sees half of an index.
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", ignore_cleanup_errors=True) as made:
                _write(Path(made) / path.name, index)
                for earlier in path.parent.glob(f"{path.name.partition('_')[0]}_*"):
                    shutil.rmtree(earlier, ignore_errors=True)
                with suppress(OSError):  # another process has stored the same
                    rename_new(Path(made) / path.name, path)


# The indexes of each store, as long as it lives.
INDEXES: WeakKeyDictionary[VectorStore, LexicalIndexes] = WeakKeyDictionary()


def indexes_of(store: VectorStore) -> LexicalIndexes:
    """The indexes that searches of this store use."""
    if store not in INDEXES:
        INDEXES[store] = LexicalIndexes.from_environment()
    return INDEXES[store]


def _write(folder: Path, index: LexicalIndex) -> None:
    folder.mkdir(mode=0o700)
    np.savez(folder / "chunks.npz", chunk_ids=index.chunk_ids, content_sha256=index.content_sha256)
    if index.bm25 is not None:
        index.bm25.save(folder / "bm25", show_progress=False)


def build_index(fingerprint: str, texts: Iterable[tuple[str, str, str]], language: str = NEUTRAL) -> LexicalIndex:
    """The index of (chunk id, content hash, text), in the order of chunk ids.

    It has 8 bytes a distinct word of each text, and takes about three times as much while it is built. Raises
    ConfigurationError when bm25s, or the stemmer of the language, is not installed.
    """
    analyzer = Analyzer(language)
    chunk_ids, hashes, vocabulary, documents = [], [], {}, []
    for chunk_id, content_sha256, text in texts:
        chunk_ids.append(chunk_id)
        hashes.append(content_sha256)
        documents.append(array("i", [vocabulary.setdefault(word, len(vocabulary)) for word in analyzer.tokens(text)]))
    bm25 = None
    if vocabulary:
        # numpy's own sparse matrix, whether or not scipy happens to be installed: the same scores everywhere.
        bm25 = _bm25s().BM25(method="lucene", k1=K1, b=B, backend="numpy", csc_backend="numpy")
        bm25.index((documents, vocabulary), create_empty_token=False, show_progress=False)
    return LexicalIndex(
        fingerprint, np.asarray(chunk_ids, dtype="U64"), np.asarray(hashes, dtype="U64"), bm25, language
    )


def _current_texts(engine: Engine, embedding_space_id: str) -> Iterator[tuple[str, str, str]]:
    return engine.stream(
        "select searched.chunk_id, searched.input_content_sha256, chunk.content"
        f" from {engine.table('embedding_current')} as searched"
        f" inner join {engine.table('chunk')} as chunk on chunk.chunk_id = searched.chunk_id"
        " where searched.embedding_space_id = ? order by searched.chunk_id",
        [embedding_space_id],
    )


def _bm25s() -> Any:
    try:
        import bm25s
    except ImportError:
        raise ConfigurationError("lexical search needs the package bm25s: pip install bm25s") from None
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG, and tells of every index
    return bm25s
