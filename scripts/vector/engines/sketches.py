"""Sketches: 384 bits of a vector, of which the fewer differ the more alike two directions are. Compared first, they
leave a few candidates of a large space, which are then compared by their vectors.

Made of the direction alone (the vector divided by its norm), less the mean of the space's directions, as most models'
vectors share a direction. Up to 384 dimensions, bit i is 1 where component i is above 0, and bits without a component
are 0. Of more dimensions, bit b is 1 where a sum of all components is above 0, each added or subtracted: component i is
added where bit b, counted from the lowest of the first byte, of SHA-256("vector sketch <i> 0") followed by
SHA-256("vector sketch <i> 1") is 1 (Achlioptas 2003, "Database-friendly Random Projections"). No generator of random
numbers is asked, so a sketch is the same with every version of numpy.

Word n holds bits 64 (n - 1) to 64 n - 1, the first the lowest, as a whole number of 64 bits with a sign.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from vector.contracts.models import EmbeddingSpace
from vector.engines.base import Engine, SketchMean

BITS = 384
WORDS = tuple(f"sketch_{n}" for n in range(1, BITS // 64 + 1))


@dataclass(frozen=True)
class SketchCounts:
    """Of a space: its vectors, and their sketches of one version."""

    vectors: int
    sketches: int

    @property
    def complete(self) -> bool:
        """Whether a search may rely on them."""
        return self.sketches == self.vectors


WHY_UNFIT = "its vectors differ in length, which its metric counts and a sketch does not know"


def fits_sketches(space: EmbeddingSpace) -> bool:
    """Whether a space's nearest vectors are those of the nearest direction, which is all that a sketch knows: not where
    vectors differ in length, and the metric counts it."""
    return space.distance_metric == "cosine" or space.normalize_flag


def directions(vectors: np.ndarray) -> np.ndarray:
    """The rows of a float32 matrix (n, dimensions) divided by their norms; zeros stay."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return vectors / np.where(norms == 0, 1, norms)[:, None]


def sketches(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The words of each row of a float32 matrix (n, dimensions): int64 of shape (n, 6). `mean` is float32 of shape
    (dimensions,)."""
    return _words(_centred(vectors, mean) > 0)


def sketch_of_question(vector: np.ndarray, mean: np.ndarray) -> tuple[list[int], list[int], list[int]]:
    """The words of a vector of shape (dimensions,), and of what a bit that differs weighs, 0 to 3, the words of the
    ones and those of the twos. A larger component tells more: its weight is its size in thirds of the size that 2 of
    100 components exceed, rounded."""
    centred = _centred(vector[None, :].astype(np.float32), mean)
    sizes = np.abs(centred)
    largest = np.quantile(sizes, 0.98) or 1
    weights = np.minimum(np.rint(sizes / largest * 3), 3).astype(np.int64)
    words, ones, twos = (_words(bits)[0].tolist() for bits in (centred > 0, weights & 1 == 1, weights & 2 == 2))
    return words, ones, twos


def mean_score(vector: np.ndarray, metric: str, mean: np.ndarray) -> float:
    """The mean of all scores, without comparing all: what the question makes with the mean of the directions. Of
    distances it is that of the root mean square, which is larger by next to nothing."""
    question = vector.astype(np.float64)
    product, length = float(question @ mean), float(question @ question)
    if metric == "euclidean":
        return -math.sqrt(max(0.0, length + 1 - 2 * product))
    if metric == "cosine":
        return product / math.sqrt(length) if length else 0.0
    return product


def _centred(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What the bits are the signs of, float32 of shape (n, at most 384)."""
    centred = directions(vectors) - mean
    return centred @ _projection(centred.shape[1]) if centred.shape[1] > BITS else centred


def _words(signs: np.ndarray) -> np.ndarray:
    bits = np.zeros((len(signs), BITS), dtype=bool)
    bits[:, : signs.shape[1]] = signs
    return np.packbits(bits, axis=1, bitorder="little").view("<i8").astype(np.int64)


@cache
def _projection(dimensions: int) -> np.ndarray:
    """Of -1 and 1, float32 of shape (dimensions, 384)."""
    drawn = [
        hashlib.sha256(f"vector sketch {i} {part}".encode()).digest() for i in range(dimensions) for part in (0, 1)
    ]
    bits = np.unpackbits(np.frombuffer(b"".join(drawn), dtype=np.uint8), bitorder="little").reshape(dimensions, -1)
    return bits[:, :BITS].astype(np.float32) * 2 - 1


def current_mean(engine: Engine, embedding_space_id: str) -> SketchMean | None:
    """The latest of a space; None where it has none yet."""
    rows = engine.lookup(
        f"select sketch_version, mean, row_count from {engine.table('embedding_sketch_mean')}"
        " where embedding_space_id = ? order by sketch_version desc offset 0 rows fetch next 1 rows only",
        [embedding_space_id],
    )
    return (
        SketchMean(rows[0][0], np.asarray(engine.decode_vector(rows[0][1]), np.float32), rows[0][2]) if rows else None
    )


def sketch_counts(engine: Engine, embedding_space_id: str, version: int) -> SketchCounts:
    """How many vectors a space has, and sketches of this version."""
    ((vectors, made),) = engine.lookup(
        f"select (select count(*) from {engine.table('embedding')} where embedding_space_id = ?),"
        f" (select count(*) from {engine.table('embedding_sketch')}"
        " where embedding_space_id = ? and sketch_version = ?)",
        [embedding_space_id, embedding_space_id, version],
    )
    return SketchCounts(vectors, made)
