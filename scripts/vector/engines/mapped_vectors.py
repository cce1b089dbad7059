"""A local copy of a space that memory does not hold: its vectors in a file that is mapped, and their sketches
(vector.engines.sketches), which tell a search the few that it has to read.

Rows are only appended. `state.npz`, which is replaced whole, says how many count, up to which version of the server,
and which are current: a process that is killed leaves rows that the next one writes over, and a reader has what it had.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vector.engines.base import Found, SearchHit
from vector.engines.sketches import BITS, WORDS, directions, mean_score, sketch_of_question, sketches
from vector.engines.vector_cache import (
    MAPPED,
    VectorSource,
    name_of_copy,
    only_a_copy,
    private_folder,
    similarity,
    top_rows,
)
from vector.files import locked, replace_file

logger = logging.getLogger(__name__)

# The nearest by sketches that are compared by their vectors: so many, one of so many vectors, and so many for each hit
# that is asked for (benchmarks/README.md, Search over the local copy).
CANDIDATES = 2000
VECTORS_PER_CANDIDATE = 2000
CANDIDATES_PER_HIT = 10
# What filters leave is compared exactly where it is less.
FEW = 20_000
# Rows that are written, or compared by their vectors, at a time; and by their sketches, so that they stay in the
# processor's cache.
BLOCK = 20_000
SKETCHES = 2**16
# More than all bits weigh: the distance of a row that is not to be found.
NOT_COUNTED = 3 * BITS + 1
# Seconds that a process waits for another one that brings the copy up to date.
PATIENCE = 30.0

_TEXTS = ("chunk_ids", "content_sha256")
_STATE = "state.npz"


@dataclass(frozen=True)
class MappedVectors:
    """The files as of a version: rows of `chunk_ids` and `content_sha256` (bytes of UTF-8), `words` (6 arrays of int64)
    and `matrix`, float32 of shape (n, dimensions); `current` says which rows count, and `mean` what the sketches were
    made with."""

    version: int
    token: str
    mean: np.ndarray
    current: np.ndarray
    chunk_ids: np.ndarray
    content_sha256: np.ndarray
    words: tuple[np.ndarray, ...]
    matrix: np.ndarray

    def best(self, vector: np.ndarray, metric: str, top_k: int, only: Iterable[str] | None = None) -> Found:
        """The best of all, or of the chunks `only`, each compared by its vector."""
        return self._best_of(self._rows(only), vector, metric, top_k)

    def best_by_sketches(
        self, vector: np.ndarray, metric: str, top_k: int, only: Iterable[str] | None = None
    ) -> Found | None:
        """The best of those that are nearest by their sketches; `compared` are these. None where filters leave so few
        that all had better be compared."""
        counted = self.current if only is None else self.current & self.is_one_of(only)
        rows = int(counted.sum())
        if only is not None and rows < FEW:
            return None
        wanted = max(CANDIDATES, rows // VECTORS_PER_CANDIDATE, CANDIDATES_PER_HIT * top_k)
        found = self._best_of(self._nearest(vector, counted, min(wanted, rows)), vector, metric, top_k)
        return found._replace(mean=mean_score(vector, metric, self.mean))

    def is_one_of(self, wanted: Iterable[str]) -> np.ndarray:
        """Which rows are of these chunks, bool of shape (n,)."""
        ids = np.unique(_as_bytes(wanted))
        # To compare the whole texts of a million rows takes a second.
        found = np.isin(self._keys, _first_bytes(ids))
        rows = np.flatnonzero(found)
        found[rows] = np.isin(self.chunk_ids[rows], ids)
        return found

    @cached_property
    def _keys(self) -> np.ndarray:
        return _first_bytes(self.chunk_ids)

    def _rows(self, only: Iterable[str] | None) -> np.ndarray:
        return np.flatnonzero(self.current if only is None else self.current & self.is_one_of(only))

    def _best_of(self, rows: np.ndarray, vector: np.ndarray, metric: str, top_k: int) -> Found:
        best: list[tuple[float, bytes, int]] = []
        total = 0.0
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            scores = similarity(self._vectors(block), vector, metric)
            total += float(scores.sum(dtype=np.float64))
            if top_k < len(block):  # the ids of the others need not be read
                kept = scores >= np.partition(scores, len(scores) - top_k)[len(scores) - top_k]
                block, scores = block[kept], scores[kept]
            first = top_rows(scores, self.chunk_ids[block], top_k)
            best += [(-float(scores[i]), bytes(self.chunk_ids[block[i]]), int(block[i])) for i in first]
            best = sorted(best)[:top_k]
        hits = [SearchHit(key.decode(), bytes(self.content_sha256[row]).decode(), -score) for score, key, row in best]
        return Found(hits, len(rows), total / len(rows) if len(rows) else 0.0)

    def _vectors(self, rows: np.ndarray) -> np.ndarray:
        """The vectors of ascending rows. Those that lie far apart are read one by one: a map would bring in what lies
        around each, and count it as memory of this process."""
        first, last = int(rows[0]), int(rows[-1]) + 1
        if last - first <= 4 * len(rows) or not isinstance(self.matrix, np.memmap):
            return self.matrix[first:last][rows - first]
        found = np.empty((len(rows), self.matrix.shape[1]), np.float32)
        with open(str(self.matrix.filename), "rb", buffering=0) as file:
            for row, place in zip(found, rows.tolist(), strict=True):
                file.seek(place * row.nbytes)
                file.readinto(row)
        return found

    def _nearest(self, vector: np.ndarray, counted: np.ndarray, count: int) -> np.ndarray:
        """The rows, ascending, of the `count` of those counted whose bits that differ from the question's weigh
        least."""
        distances = np.empty(len(counted), dtype=np.int16)
        words, ones, twos = (np.asarray(each, np.int64) for each in sketch_of_question(vector, self.mean))

        def compare(start: int) -> np.ndarray:
            part = slice(start, start + SKETCHES)
            total = np.zeros(len(distances[part]), dtype=np.int16)
            for kept, word, one, two in zip(self.words, words, ones, twos, strict=True):
                differing = kept[part] ^ word
                # Without a sign: numpy counts the bits of the absolute value.
                total += np.bitwise_count((differing & one).view(np.uint64))
                total += np.left_shift(np.bitwise_count((differing & two).view(np.uint64)), 1)
            total[~counted[part]] = NOT_COUNTED
            distances[part] = total
            return np.bincount(total, minlength=NOT_COUNTED + 1)

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            numbers = sum(threads.map(compare, range(0, len(distances), SKETCHES)), np.zeros(NOT_COUNTED + 1, int))
        farthest = int(np.searchsorted(np.cumsum(numbers), count))
        nearer = np.flatnonzero(distances < farthest)
        as_far = np.flatnonzero(distances == farthest)[: count - len(nearer)]
        return np.sort(np.concatenate([nearer, as_far]))


class MappedCopies:
    """The copies in a folder, and what this process has opened of them. Without a folder there are none."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self._opened: dict[tuple[str, int], MappedVectors] = {}

    def are_any(self) -> bool:
        """Whether a copy of some space was made."""
        return self.folder is not None and any(self.folder.glob(f"*{MAPPED}"))

    def are_there(self, source: VectorSource) -> bool:
        """Whether a copy of the space was made."""
        return self.folder is not None and (self._folder_of(self.folder, source) / _STATE).is_file()

    def current(self, source: VectorSource, erasures: int) -> MappedVectors | None:
        """The space's vectors as of now and at this number of erasures. None where there can be no copy, or another
        process is making it; the log says why."""
        # A file that was deleted for what was erased is gone when nobody has it open.
        self._opened = {key: each for key, each in self._opened.items() if key[1] == erasures}
        key = (source.identity, erasures)
        if self.folder is None:
            return None
        version, known = source.version(), self._opened.pop(key, None)
        folder = self._folder_of(self.folder, source)
        with only_a_copy(folder):
            if not (private_folder(self.folder, make=True) and private_folder(folder, make=True)):
                return None
            found = known if known and known.version == version else _up_to_date(folder, source, version)
            if found:
                self._opened[key] = found
            return found
        return None

    def _folder_of(self, folder: Path, source: VectorSource) -> Path:
        return folder / f"{name_of_copy(source.identity)}{MAPPED}"


def _up_to_date(folder: Path, source: VectorSource, version: int) -> MappedVectors | None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with locked(folder / "lock") as holder:
            if holder is None:
                found = _opened(folder, source.dimensions)
                if found is None or found.version > version:  # another database under this name
                    return _made(folder, source, version)
                return found if found.version == version else _brought_up_to_date(folder, source, found, version)
        if time.monotonic() >= deadline:
            logger.warning("%s: %s brings it up to date; the server's vectors are compared meanwhile", folder, holder)
            return None
        time.sleep(0.1)


def _brought_up_to_date(folder: Path, source: VectorSource, found: MappedVectors, version: int) -> MappedVectors | None:
    changed = source.changed_chunks(found.version)
    rows = len(found.current)
    if len(changed) > rows // 2 or found.current.sum() < rows // 2:
        return _made(folder, source, version)
    current = found.current & ~found.is_one_of(changed)
    added = 0
    if changed:
        with _written(folder, found.token) as files:
            for ids, hashes, matrix in _blocks(source.current_vectors(changed), source.dimensions):
                files.write(rows + added, ids, hashes, matrix)
                files.write_words(rows + added, sketches(matrix, found.mean))
                added += len(ids)
    current = np.concatenate([current, np.ones(added, dtype=bool)])
    _write_state(folder, version, found.token, found.mean, current)
    return _opened(folder, source.dimensions)


def _made(folder: Path, source: VectorSource, version: int) -> MappedVectors | None:
    """The copy, read anew from the server."""
    count, dimensions = source.count(), source.dimensions
    needed = count * (4 * dimensions + 8 * len(WORDS) + 64 * len(_TEXTS))
    for path in folder.glob("*.rows"):
        with suppress(OSError):  # on Windows, a process that still reads it
            path.unlink()
    if shutil.disk_usage(folder).free < 2 * needed:
        logger.warning(
            "%s: a copy of %s vectors takes %.1f GB, and less than twice as much is free there; the server's are"
            " compared, in blocks", folder, f"{count:,}", needed / 1e9,
        )  # fmt: skip
        return None
    token, rows, total = secrets.token_hex(8), 0, np.zeros(dimensions)
    with _written(folder, token) as files:
        for ids, hashes, matrix in _blocks(source.current_vectors(None), dimensions):
            files.write(rows, ids, hashes, matrix)
            total += directions(matrix).sum(axis=0, dtype=np.float64)
            rows += len(ids)
    mean = (total / max(rows, 1)).astype(np.float32)
    matrix = _mapped(folder / f"{token}.matrix.rows", "<f4", (rows, dimensions))
    with _written(folder, token) as files:
        for start in range(0, rows, BLOCK):
            files.write_words(start, sketches(matrix[start : start + BLOCK], mean))
    _write_state(folder, version, token, mean, np.ones(rows, dtype=bool))
    return _opened(folder, dimensions)


def _opened(folder: Path, dimensions: int) -> MappedVectors | None:
    """What the folder has; None where there is none, or a damaged one, which is only a lost copy."""
    try:
        with np.load(folder / _STATE, allow_pickle=False) as state:
            version, token, mean, rows = int(state["version"]), str(state["token"]), state["mean"], int(state["rows"])
            current = np.unpackbits(state["current"], count=rows).astype(bool)
        if mean.shape != (dimensions,):
            return None

        def mapped(name: str, kind: str, *width: int) -> np.ndarray:
            return _mapped(folder / f"{token}.{name}.rows", kind, (rows, *width))

        chunk_ids, content_sha256 = (mapped(name, "S64") for name in _TEXTS)
        words = tuple(mapped(name, "<i8") for name in WORDS)
        matrix = mapped("matrix", "<f4", dimensions)
        return MappedVectors(version, token, mean, current, chunk_ids, content_sha256, words, matrix)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _mapped(path: Path, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Raises ValueError for a file that is too short. Nothing cannot be mapped."""
    return np.memmap(path, kind, "r", shape=shape) if shape[0] else np.empty(shape, kind)


def _write_state(folder: Path, version: int, token: str, mean: np.ndarray, current: np.ndarray) -> None:
    path = folder / f".{_STATE}"
    with open(path, "wb") as file:
        np.savez(file, version=version, token=token, mean=mean, rows=len(current), current=np.packbits(current))
    replace_file(path, folder / _STATE)


def _first_bytes(ids: np.ndarray) -> np.ndarray:
    """The first 8 bytes of each of the ids, as a number."""
    return np.ascontiguousarray(np.asarray(ids).view("<u8").reshape(len(ids), -1)[:, 0])


def _as_bytes(texts: Iterable[str]) -> np.ndarray:
    """Raises OSError for one that the files have no room for."""
    found = [each.encode() for each in texts]
    if any(len(each) > 64 for each in found):
        raise OSError(errno.EINVAL, "an id or a hash has more than 64 bytes")
    return np.asarray(found, dtype="S64")


def _blocks(
    rows: Iterator[tuple[str, str, np.ndarray]], dimensions: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    while block := list(islice(rows, BLOCK)):
        ids, hashes, vectors = zip(*block, strict=True)
        yield _as_bytes(ids), _as_bytes(hashes), np.asarray(vectors, dtype=np.float32).reshape(len(ids), dimensions)


@contextmanager
def _written(folder: Path, token: str) -> Iterator[_Files]:
    """The files of a copy, open to be written to. Afterwards they are there after a loss of power, too."""
    with ExitStack() as stack:
        opened = {}
        for name in (*_TEXTS, *WORDS, "matrix"):
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            descriptor = os.open(folder / f"{token}.{name}.rows", flags, 0o600)
            opened[name] = stack.enter_context(os.fdopen(descriptor, "r+b"))
        yield _Files(opened)
        for file in opened.values():
            file.flush()
            os.fsync(file.fileno())


@dataclass(frozen=True)
class _Files:
    opened: Mapping[str, BinaryIO]

    def write(self, row: int, ids: np.ndarray, hashes: np.ndarray, matrix: np.ndarray) -> None:
        """From this row on."""
        for name, column in (*zip(_TEXTS, (ids, hashes), strict=True), ("matrix", matrix)):
            self._write(name, row, column)

    def write_words(self, row: int, words: np.ndarray) -> None:
        """From this row on; int64 of shape (n, 6)."""
        for name, column in zip(WORDS, words.T, strict=True):
            self._write(name, row, column)

    def _write(self, name: str, row: int, column: np.ndarray) -> None:
        file = self.opened[name]
        file.seek(row * column[:1].nbytes)
        file.write(column.tobytes())
