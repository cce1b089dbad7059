"""Search: a question becomes a vector of the space, is compared with the space's current vectors, and is logged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vector.contracts.identity import require_storable_text
from vector.contracts.ledgers import Column
from vector.contracts.models import EmbeddingSpace, VectorRetrieval, VectorRetrievalHit
from vector.engines.base import SearchHit, SearchRequest
from vector.errors import ConfigurationError
from vector.pinning import refuse_another_model
from vector.providers.base import EmbeddingProvider, PreprocessPolicy, check_reply
from vector.store import VectorStore


@dataclass(frozen=True)
class FoundChunk:
    """A hit with what a reader wants to see of it. `rank` counts from 1; a higher `score` is better."""

    rank: int
    score: float
    chunk_id: str
    content_sha256: str
    source_id: str | None
    source_type: str
    source_title: str | None
    content: str


@dataclass(frozen=True)
class SearchResult:
    """A search and its hits. `retrieval` is what the log holds, if the search was logged."""

    retrieval: VectorRetrieval
    hits: list[FoundChunk]
    logged: bool

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON: the query and how it was answered, then `hits`, best first."""
        retrieval = self.retrieval
        return {
            "retrieval_id": retrieval.retrieval_id if self.logged else None,
            "query": retrieval.query_text,
            "embedding_space_id": retrieval.embedding_space_id,
            "top_k": retrieval.top_k,
            "filters": retrieval.filters,
            "candidates": retrieval.candidate_count,
            "latency_ms": retrieval.latency_ms,
            "hits": [vars(hit) for hit in self.hits],
        }


def search(
    store: VectorStore,
    space: EmbeddingSpace,
    provider: EmbeddingProvider,
    query: str,
    top_k: int = 10,
    source_types: Sequence[str] = (),
    source_ids: Sequence[str] = (),
    log: bool = True,
    run_id: str | None = None,
    eval_query_id: str | None = None,
) -> SearchResult:
    """The `top_k` current chunks nearest to the question in the space, best first, ties by chunk id.

    Only vectors of this space are compared, and only those of current texts. The search is exact, and logged unless
    `log` is false, with the run and the evaluation question that it is of, if any. Raises ConfigurationError on an
    empty question or a top_k below 1, InvalidRecord on a question that holds a NUL or a lone surrogate, ProviderError
    when the model cannot be used, SpaceRefused when another one filled the space.
    """
    _check_question(query, top_k)
    refuse_another_model(store, space, provider)
    started = time.perf_counter()
    vector = _query_vector(space, provider, query)
    request = SearchRequest(
        space.embedding_space_id, vector, space.distance_metric, top_k, tuple(source_types), tuple(source_ids)
    )
    hits, compared = store.engine.search(request)
    filters = {"source_type": list(source_types), "source_id": list(source_ids)}
    retrieval = VectorRetrieval.create_new(
        space.embedding_space_id,
        query,
        top_k,
        query_embedding=vector.tolist(),
        filters={name: values for name, values in filters.items() if values} or None,
        policy={"distance_metric": space.distance_metric, "method": "dense"},
        candidate_count=compared,
        latency_ms=round((time.perf_counter() - started) * 1000, 3),
        engine=store.engine.name,
        exact_flag=True,
        run_id=run_id,
        eval_query_id=eval_query_id,
    )
    if log:
        store.save_retrieval(retrieval, [_logged(retrieval, rank, hit) for rank, hit in enumerate(hits, 1)])
    return SearchResult(retrieval, _found(store, hits), log)


def _check_question(query: str, top_k: int) -> None:
    if not query.strip():
        raise ConfigurationError("the question is empty; ask something")
    if top_k < 1:
        raise ConfigurationError(f"top_k is {top_k}; ask for at least 1 hit")
    require_storable_text(query, "the question")


def _query_vector(space: EmbeddingSpace, provider: EmbeddingProvider, query: str) -> np.ndarray:
    policy = PreprocessPolicy.from_dict(space.preprocess_policy)
    reply = provider.embed([policy.query_input(query)])
    check_reply(reply, 1, space.dimensions)
    return reply.vectors[0]


def _logged(retrieval: VectorRetrieval, rank: int, hit: SearchHit) -> VectorRetrievalHit:
    return VectorRetrievalHit(retrieval.retrieval_id, rank, hit.chunk_id, hit.score, content_sha256=hit.content_sha256)


def _found(store: VectorStore, hits: Sequence[SearchHit]) -> list[FoundChunk]:
    engine = store.engine
    with engine.staged([Column("chunk_id", "", "text")], [(hit.chunk_id,) for hit in hits]) as staged:
        rows = engine.query(
            "select chunk.chunk_id, chunk.source_id, chunk.source_type, source.title, chunk.content"
            f" from {staged} as staged inner join {engine.table('chunk')} as chunk on chunk.chunk_id = staged.chunk_id"
            f" left join {engine.table('source_registry')} as source on source.source_id = chunk.source_id"
        )
    details = {row[0]: row[1:] for row in rows}
    return [
        FoundChunk(rank, hit.score, hit.chunk_id, hit.content_sha256, *details[hit.chunk_id])
        for rank, hit in enumerate(hits, 1)
    ]
