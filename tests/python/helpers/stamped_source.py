"""A source of vectors in memory that stamps its rows as SQL Server does, what may happen to it, and what a local copy
of it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from vector.engines.mapped_vectors import MappedCopies
from vector.engines.vector_cache import CachedVectors, VectorCache

DIMENSIONS = 4


@dataclass
class Source:
    """Chunks with a stamp and, where they are current, a vector."""

    identity: str = "server/database/vector/space"
    dimensions: int = DIMENSIONS
    clock: int = 0
    stamps: dict[str, int] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    reads: list[int | None] = field(default_factory=list)

    def put(self, chunk_id: str, seed: int) -> None:
        self.clock += 1
        self.stamps[chunk_id] = self.clock
        self.vectors[chunk_id] = np.random.default_rng(seed).normal(size=self.dimensions).astype(np.float32)

    def retire(self, chunk_id: str) -> None:
        self.clock += 1
        self.stamps[chunk_id] = self.clock
        self.vectors.pop(chunk_id, None)

    def change(self, action: str, chunk_id: str, seed: int) -> None:
        """A step of `changes` that is one of the source."""
        if action == "put":
            self.put(chunk_id, seed)
        elif action == "retire":
            self.retire(chunk_id)

    def contents(self) -> dict[str, list[float]]:
        """The current vectors by chunk."""
        return {chunk_id: vector.tolist() for chunk_id, vector in self.vectors.items()}

    def version(self):
        return self.clock

    def count(self):
        return len(self.vectors)

    def changed_chunks(self, since):
        return [chunk_id for chunk_id, stamp in self.stamps.items() if stamp > since]

    def current_vectors(self, chunk_ids):
        self.reads.append(None if chunk_ids is None else len(chunk_ids))
        for chunk_id, vector in self.vectors.items():
            if chunk_ids is None or chunk_id in chunk_ids:
                yield chunk_id, f"hash of {chunk_id}", vector


changes = st.lists(
    st.tuples(st.sampled_from(["put", "retire", "search", "restart"]), st.sampled_from("abcdefgh"), st.integers(0, 99)),
    max_size=40,
)


def filled(count: int) -> Source:
    """A source of so many chunks, from "00000" on."""
    source = Source()
    for number in range(count):
        source.put(f"{number:05}", number)
    return source


def current(copies: VectorCache | MappedCopies, source: Source):
    """The copy of the source as it is now; None where there can be none."""
    return copies.current(source, 0) if isinstance(copies, MappedCopies) else copies.current(source)


def contents(copied) -> dict[str, list[float]] | None:
    """The vectors by chunk of a copy."""
    if copied is None:
        return None
    if isinstance(copied, CachedVectors):
        return {key: row.tolist() for key, row in zip(copied.chunk_ids.tolist(), copied.matrix, strict=True)}
    rows = np.flatnonzero(copied.current)
    return {bytes(copied.chunk_ids[row]).decode(): copied.matrix[row].tolist() for row in rows}
