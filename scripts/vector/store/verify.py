"""Whether the stored vectors are still those that were written: what dbt cannot test, as SQL hashes no float."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vector.contracts.identity import compute_vector_hash
from vector.store.store import VectorStore


def verify_vectors(store: VectorStore) -> list[str]:
    """The sorted ids of the embeddings whose `vector_sha256` is not the hash of their vector.

    Every vector of every space is read, a block at a time, so memory does not grow with their number.
    """
    engine = store.engine
    rows = engine.stream(f"select embedding_id, vector, vector_sha256 from {engine.table('embedding')}")
    return sorted(
        embedding_id for embedding_id, vector, sha256 in rows if _hash_of(engine.decode_vector, vector) != sha256
    )


def _hash_of(decode_vector: Callable[[Any], list[float]], stored: Any) -> str | None:
    try:
        return compute_vector_hash(decode_vector(stored))
    except (ValueError, TypeError):  # no list of finite numbers, so no vector that was ever written
        return None
