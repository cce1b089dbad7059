"""A space keeps to the model that filled it first."""

from __future__ import annotations

from vector.contracts.models import EmbeddingSpace
from vector.errors import SpaceRefused
from vector.providers.base import EmbeddingProvider
from vector.store import VectorStore


def refuse_another_model(store: VectorStore, space: EmbeddingSpace, provider: EmbeddingProvider) -> None:
    """Raises SpaceRefused when the space has vectors of a model with another digest than the one that answers now.

    The runs that wrote the vectors recorded the digest. A provider that knows no digest passes.
    """
    digest = provider.model_digest or space.model_digest
    if digest is None:
        return
    engine = store.engine
    earlier = engine.query(
        f"select distinct run.model_digest from {engine.table('run')} as run where run.model_digest <> ?"
        f" and exists (select 1 from {engine.table('embedding')} as embedding"
        " where embedding.run_id = run.run_id and embedding.embedding_space_id = ?)",
        [digest, space.embedding_space_id],
    )
    if earlier:
        raise SpaceRefused(
            f"space {space.space_key} has vectors of the model with digest {earlier[0][0]}, and {digest} answers now:"
            " restore that model, or add a new space (a row of seeds/embedding_space_seed.csv with the new digest)"
        )
