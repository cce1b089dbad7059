"""A source of vectors in memory that stamps its rows as SQL Server does, and what may happen to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

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
