"""A local copy of a space's current vectors, for an engine that cannot compare vectors itself.

An embedding never changes once it is written; what changes is which ones are current. The server stamps every written
row of `chunk` and `embedding` with a growing version (SQL Server's rowversion), so the copy is brought up to date by
reading the chunks that were stamped since, and only those. A search first asks for the server's version: when it is
the copy's own, nothing else is read.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vector.contracts.ledgers import key_column
from vector.engines.base import Engine, Found, SearchHit
from vector.files import is_ours_alone, replace_file

logger = logging.getLogger(__name__)

DEFAULT_MEGABYTES = 2048
# What the folder of a copy that memory does not hold ends with (vector.engines.mapped_vectors).
MAPPED = ".mapped"


def default_folder() -> Path | None:
    """Where copies are kept: VECTOR_CACHE_DIR, or ~/.cache/vector-runtime; None where the variable is empty, or
    there is no home."""
    folder = os.environ.get("VECTOR_CACHE_DIR")
    if folder is not None:
        return Path(folder) if folder else None
    with suppress(RuntimeError):  # there is no home, as in some containers
        return Path.home() / ".cache" / "vector-runtime"
    return None


def name_of_copy(identity: str) -> str:
    """What a copy of this is called among files: 32 hexadecimal digits."""
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def private_folder(folder: Path, make: bool = False) -> bool:
    """Whether copies may be read from the folder and written to it: it is there, is ours, and nobody else can write to
    it, since who can decides what a search finds. `make` makes it, for its owner only. A folder that is refused is told
    in the log. Raises OSError where it cannot be made or looked at."""
    if make:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    elif not folder.is_dir():
        return False
    if is_ours_alone(folder):
        return True
    logger.warning(
        "%s is refused as a cache: others can write to it, or own it; `chmod go-w` it, or see VECTOR_CACHE_DIR", folder
    )
    return False


@contextmanager
def only_a_copy(folder: Path) -> Iterator[None]:
    """What cannot be written to the folder is not kept, and a log line says so: a search does not need it."""
    try:
        yield
    except OSError as error:
        logger.warning("%s: no copy is kept for the next process (%s); see VECTOR_CACHE_DIR", folder, error.strerror)


def usable_vector(value: Any, dimensions: int) -> np.ndarray | None:
    """A stored vector, as the engine decodes it, as float32 of shape (dimensions,); None where it is none, or is not
    finite: somebody else wrote it, and it must not keep the others from being compared."""
    with suppress(TypeError, ValueError, OverflowError), np.errstate(over="ignore"):
        vector = np.asarray(value, dtype=np.float32)
        if vector.shape == (dimensions,) and np.isfinite(vector).all():
            return vector
    return None


def tell_unusable(count: int, embedding_space_id: str) -> None:
    """Logs that so many vectors of a space were left out."""
    logger.warning(
        "%d of the vectors of space %s cannot be compared and are left out; `vector verify` names them",
        count, embedding_space_id,
    )  # fmt: skip


def read_current_vectors(
    engine: Engine,
    embedding_space_id: str,
    dimensions: int,
    chunk_ids: Sequence[str] | None,
    decode: Callable[[Any], Any] = lambda stored: stored,
) -> Iterator[tuple[str, str, np.ndarray]]:
    """VectorSource.current_vectors of an engine whose stored vectors `decode` makes lists of. Those that cannot be
    compared are left out, and told."""
    sql = (
        "select searched.chunk_id, searched.input_content_sha256, searched.vector"
        f" from {engine.table('embedding_current')} as searched"
    )
    with ExitStack() as stack:
        if chunk_ids is not None:
            staged = stack.enter_context(engine.staged([key_column("chunk_id")], [(each,) for each in chunk_ids]))
            sql += f" inner join {staged} as staged on staged.chunk_id = searched.chunk_id"
        unusable = 0
        for chunk_id, content_sha256, stored in engine.stream(
            f"{sql} where searched.embedding_space_id = ?", [embedding_space_id]
        ):
            vector = None
            with suppress(TypeError, ValueError, RecursionError):
                vector = usable_vector(decode(stored), dimensions)
            if vector is None:
                unusable += 1
            else:
                yield chunk_id, content_sha256, vector
    if unusable:
        tell_unusable(unusable, embedding_space_id)


class VectorSource(Protocol):
    """Where the current vectors of one space are read from."""

    identity: str
    dimensions: int

    def version(self) -> int:
        """The version up to which every write is visible to later reads."""
        ...

    def count(self) -> int:
        """Number of current vectors."""
        ...

    def changed_chunks(self, since: int) -> list[str]:
        """Ids of the chunks of which a row was written after the version, in any way."""
        ...

    def current_vectors(self, chunk_ids: Sequence[str] | None) -> Iterator[tuple[str, str, np.ndarray]]:
        """Current vectors as (chunk id, content hash, float32 vector); of these chunks, or of all."""
        ...


@dataclass
class CachedVectors:
    """Current vectors as of a version: `matrix` is float32 of shape (n, dimensions), rows in the order of the ids."""

    version: int
    chunk_ids: np.ndarray
    content_sha256: np.ndarray
    matrix: np.ndarray

    @cached_property
    def norms(self) -> np.ndarray:
        """Euclidean norms of the rows."""
        return row_norms(self.matrix)

    def best(self, vector: np.ndarray, metric: str, top_k: int, only: Iterable[str] | None = None) -> Found:
        """The best of all, or of the chunks `only`."""
        if only is not None:
            return self._part(np.isin(self.chunk_ids, np.asarray(list(only), dtype=self.chunk_ids.dtype))).best(
                vector, metric, top_k
            )
        scores = similarity(self.matrix, vector, metric, self.norms)
        hits = [
            SearchHit(str(self.chunk_ids[i]), str(self.content_sha256[i]), float(scores[i]))
            for i in top_rows(scores, self.chunk_ids, top_k)
        ]
        return Found(hits, len(scores), float(scores.mean(dtype=np.float64)) if len(scores) else 0.0)

    def _part(self, rows: np.ndarray) -> CachedVectors:
        return CachedVectors(self.version, self.chunk_ids[rows], self.content_sha256[rows], self.matrix[rows])


class VectorCache:
    """Copies by space, in memory and, unless `folder` is None, in files for the next process."""

    def __init__(self, folder: Path | None, megabytes: int = DEFAULT_MEGABYTES):
        self.folder = folder
        self.megabytes = megabytes
        self._spaces: dict[str, CachedVectors] = {}
        self._erasures: int | None = None

    @classmethod
    def from_environment(cls) -> VectorCache:
        """VECTOR_CACHE_DIR (empty: no files; default ~/.cache/vector-runtime) and VECTOR_CACHE_MB (0: no copies)."""
        return cls(default_folder(), int(os.environ.get("VECTOR_CACHE_MB", DEFAULT_MEGABYTES)))

    def current(self, source: VectorSource) -> CachedVectors | None:
        """The space's vectors as of now; None when they would take more memory than allowed."""
        cached = self._spaces.get(source.identity) or self._load(source)
        version = source.version()
        if cached is None or cached.version > version:  # a version that went back: another database under this name
            cached = self._read_all(source, version)
        elif cached.version < version:
            cached = self._bring_up_to_date(cached, source, version)
        if cached is None:
            self._spaces.pop(source.identity, None)
            return None
        if self._spaces.get(source.identity) is not cached:
            self._spaces[source.identity] = cached
            self._store(source, cached)
        return cached

    def keep_up(self, erasures: int) -> None:
        """Forgets the copies in memory where they were made at another number of erasures."""
        if self._erasures != erasures:
            self._spaces.clear()
        self._erasures = erasures

    def fits(self, count: int, dimensions: int) -> bool:
        """Whether memory may hold so many vectors."""
        return count * dimensions * 4 <= self.megabytes * 2**20

    def _read_all(self, source: VectorSource, version: int) -> CachedVectors | None:
        if not self.fits(source.count(), source.dimensions):
            return None
        return _gathered(version, source.current_vectors(None), source.dimensions)

    def _bring_up_to_date(self, cached: CachedVectors, source: VectorSource, version: int) -> CachedVectors | None:
        changed = source.changed_chunks(cached.version)
        if not changed:
            return CachedVectors(version, cached.chunk_ids, cached.content_sha256, cached.matrix)
        if len(changed) > len(cached.chunk_ids) // 2:
            return self._read_all(source, version)
        kept = ~np.isin(cached.chunk_ids, np.asarray(changed, dtype=cached.chunk_ids.dtype))
        fresh = _gathered(version, source.current_vectors(changed), source.dimensions)
        if not self.fits(int(kept.sum()) + len(fresh.chunk_ids), source.dimensions):
            return None
        return CachedVectors(
            version,
            np.concatenate([cached.chunk_ids[kept], fresh.chunk_ids]),
            np.concatenate([cached.content_sha256[kept], fresh.content_sha256]),
            np.concatenate([cached.matrix[kept], fresh.matrix]),
        )

    def _file(self, source: VectorSource) -> Path | None:
        return self.folder / f"{name_of_copy(source.identity)}.npz" if self.folder else None

    def _load(self, source: VectorSource) -> CachedVectors | None:
        path = self._file(source)
        try:
            if path is None or not private_folder(path.parent) or not path.is_file():
                return None
            with np.load(path, allow_pickle=False) as arrays:
                matrix = arrays["matrix"]
                if matrix.shape[1] != source.dimensions or not self.fits(*matrix.shape):
                    return None
                return CachedVectors(int(arrays["version"]), arrays["chunk_ids"], arrays["content_sha256"], matrix)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None  # a damaged file is only a lost copy

    def _store(self, source: VectorSource, cached: CachedVectors) -> None:
        path = self._file(source)
        if path is None:
            return
        with only_a_copy(path.parent):
            if not private_folder(path.parent, make=True):
                return
            # Into another file first, of its owner only: a reader never sees half of one.
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as made:
                with tempfile.NamedTemporaryFile(dir=made, suffix=".npz", delete=False) as file:
                    np.savez(file, version=cached.version, **{name: getattr(cached, name) for name in _ARRAYS})
                replace_file(file.name, path)


_ARRAYS = ("chunk_ids", "content_sha256", "matrix")


def _gathered(version: int, rows: Iterable[tuple[str, str, np.ndarray]], dimensions: int) -> CachedVectors:
    ids, hashes, vectors = [], [], []
    for chunk_id, content_sha256, vector in rows:
        ids.append(chunk_id)
        hashes.append(content_sha256)
        vectors.append(vector)
    matrix = np.asarray(vectors, dtype=np.float32).reshape(len(ids), dimensions)
    return CachedVectors(version, np.asarray(ids, dtype="U64"), np.asarray(hashes, dtype="U64"), matrix)


def row_norms(matrix: np.ndarray) -> np.ndarray:
    """Euclidean norms of the rows of a matrix, shape (n,)."""
    return np.sqrt(np.einsum("ij,ij->i", matrix, matrix))


def similarity(matrix: np.ndarray, vector: np.ndarray, metric: str, norms: np.ndarray | None = None) -> np.ndarray:
    """Scores of the rows of a float32 matrix (n, dimensions) against a vector (dimensions,); higher is better.

    `metric` is cosine, dot (inner product) or euclidean (minus the distance); `norms` are the rows', if known.
    """
    if metric == "euclidean":
        return -np.linalg.norm(matrix - vector, axis=1)
    products = matrix @ vector
    if metric == "dot":
        return products
    lengths = (row_norms(matrix) if norms is None else norms) * np.linalg.norm(vector)
    return products / np.where(lengths == 0, 1, lengths)


def top_rows(scores: np.ndarray, chunk_ids: np.ndarray, top_k: int) -> np.ndarray:
    """Positions of the `top_k` best scores, best first, ties by chunk id."""
    if top_k < len(scores):
        # All that tie with the last of the best stay in, for the id to decide.
        threshold = np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
        candidates = np.flatnonzero(scores >= threshold)
    else:
        candidates = np.arange(len(scores))
    order = np.lexsort((chunk_ids[candidates], -scores[candidates]))
    return candidates[order][:top_k]
