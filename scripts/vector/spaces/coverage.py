"""How much of the current chunks has a vector in a space."""

from __future__ import annotations

from collections.abc import Sequence

from vector.contracts.models import EmbeddingSpace
from vector.store import VectorStore
from vector.wording import SPACES

_COUNTS = {"chunks": "chunk", "current": "current", "pending": "pending", "quarantined": "quarantined"}


def coverage_of(store: VectorStore, space: EmbeddingSpace, source_types: Sequence[str] = ()) -> dict[str, int]:
    """Current chunks, of these source types or of all: `chunks` in all, and those with a vector of their text
    (`current`), without one (`pending`), and those whose text was refused (`quarantined`)."""
    among = f" and source_type in ({', '.join('?' * len(source_types))})" if source_types else ""
    (row,) = store.engine.query(
        f"select {', '.join(f'coalesce(sum({name}_count), 0)' for name in _COUNTS.values())}"
        f" from {store.engine.table('space_coverage')} where embedding_space_id = ?{among}",
        [space.embedding_space_id, *source_types],
    )
    return dict(zip(_COUNTS, map(int, row), strict=True))


def is_complete(counts: dict[str, int]) -> bool:
    """Whether there is a chunk, and each has a vector."""
    return 0 < counts["chunks"] == counts["current"]


def in_words(space: EmbeddingSpace, counts: dict[str, int]) -> str:
    """The counts of the space, and what to do about the missing vectors: only active spaces are embedded into."""
    told = f"{counts['current']} of {counts['chunks']} current chunks have a vector"
    if counts["pending"]:
        first = "run" if space.is_active else f"set is_active in {SPACES}, `dbt build`, then"
        told += f", {counts['pending']} pending: {first} `vector embed --space {space.space_key}`"
    if counts["quarantined"]:
        told += f", {counts['quarantined']} quarantined: see `vector failures`"
    return told
