"""The names that callers of the runtime's predecessor know, each an alias or one look at a ledger.

New code uses what stands behind them. `VectorStore` has them all; they raise what that raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vector.contracts import ledgers
from vector.contracts.models import (
    SourceStatus,
    VectorEmbedding,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorSourceRegistry,
)
from vector.store import ledger_io
from vector.store.ledger_io import SaveResult


class Aliases:
    """Part of VectorStore; `self` is one."""

    def embedding_exists(self: Any, chunk_id: str, embedding_space_id: str, input_content_sha256: str) -> bool:
        """Whether the ledger has the vector of this text of the chunk in the space. What is pending, the view
        `embedding_pending` says."""
        key = dict(zip(ledgers.EMBEDDING.key, (chunk_id, embedding_space_id, input_content_sha256), strict=True))
        return ledger_io.get(self.engine, ledgers.EMBEDDING, **key) is not None

    def get_embeddings_by_space(self: Any, embedding_space_id: str, limit: int | None = None) -> list[VectorEmbedding]:
        """Alias of `list_embeddings`, of one space: those of earlier texts included."""
        return (
            []
            if embedding_space_id is None
            else self.list_embeddings(embedding_space_id=embedding_space_id, limit=limit)
        )

    def save_source_registry(self: Any, entry: VectorSourceRegistry) -> SaveResult:
        """Alias of `save_source`."""
        return self.save_source(entry)

    def get_source_registry(self: Any, source_id: str) -> VectorSourceRegistry | None:
        """Alias of `get_source`."""
        return self.get_source(source_id)

    def source_already_indexed(self: Any, source_id: str, content_sha256: str) -> bool:
        """Whether the registry has this hash of the source's text, and the source is indexed and not retired."""
        wanted = {"source_id": source_id, "content_sha256": content_sha256, "status": SourceStatus.INDEXED.value}
        found = ledger_io.get(self.engine, ledgers.SOURCE_REGISTRY, **wanted)
        return found is not None and found.retired_utc is None

    def save_retrieval_hit(self: Any, hit: VectorRetrievalHit) -> SaveResult:
        """Alias of `save_retrieval_hits`, for one hit."""
        return self.save_retrieval_hits([hit])

    def save_retrieval_with_hits(
        self: Any, retrieval: VectorRetrieval, hits: Sequence[VectorRetrievalHit]
    ) -> SaveResult:
        """Alias of `save_retrieval`."""
        return self.save_retrieval(retrieval, hits)
