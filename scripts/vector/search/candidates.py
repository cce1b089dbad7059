"""The hits of a search: candidates by vectors or words, fused, reranked, and chosen among by the policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vector.contracts.ledgers import key_column
from vector.contracts.models import EmbeddingSpace
from vector.engines.base import SearchHit, SearchRequest
from vector.engines.filters import SearchFilters
from vector.search.lexical import indexes_of
from vector.search.policy import SearchPolicy
from vector.search.ranking import first_of_each, maximal_marginal_relevance, reciprocal_rank_fusion, scaled
from vector.search.rerankers import load_reranker, reranked
from vector.store import VectorStore

_KEY = key_column("chunk_id")


@dataclass(frozen=True)
class Candidate:
    """A chunk that may become a hit. `score` is what it is ranked by; `components` are the scores and ranks behind it:
    dense, dense_rank, lexical, lexical_rank, fused, rerank, mmr, as far as there are any."""

    chunk_id: str
    content_sha256: str
    score: float
    components: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What is searched for, where: `vector` is float32 of shape (dimensions,), None for a lexical search."""

    store: VectorStore
    space: EmbeddingSpace
    text: str
    vector: np.ndarray | None
    top_k: int
    filters: SearchFilters
    policy: SearchPolicy


def choose(asked: Asked) -> tuple[list[Candidate], int]:
    """The hits, best first, and the number of current vectors, or texts, that passed the filters and were compared.

    Raises ConfigurationError when the reranker cannot be had, fails, or answers nonsense.
    """
    policy, size = asked.policy, asked.top_k
    if policy.has_pool:
        return _chosen_among_pool(asked)
    while True:
        candidates, compared = _candidates(asked, size)
        hits = _limited(asked, candidates)
        # With a limit a source, more candidates may be needed than hits; not where no further one could pass.
        if len(hits) >= asked.top_k or len(candidates) < size or not _passes(candidates[-1], policy):
            return hits[: asked.top_k], compared
        size *= 4


def _chosen_among_pool(asked: Asked) -> tuple[list[Candidate], int]:
    policy, size = asked.policy, asked.policy.pool_size(asked.top_k)
    candidates, compared = _candidates(asked, size)
    if policy.rerank is not None:
        candidates = _reranked(asked, policy.rerank, candidates[:size])
    hits = _limited(asked, candidates)
    if policy.mmr is not None:
        hits = _diverse(asked, policy.mmr, hits[:size])
    return hits[: asked.top_k], compared


def _candidates(asked: Asked, size: int) -> tuple[list[Candidate], int]:
    """The first candidates by the score of the mode, `size` of each part, and the number compared."""
    if asked.policy.mode == "dense":
        return _dense(asked, size)
    if asked.policy.mode == "lexical":
        return _lexical(asked, size)
    dense, compared = _dense(asked, size)
    lexical, _ = _lexical(asked, size)
    return _fused(asked.policy.rrf_k, dense, lexical), compared


def _dense(asked: Asked, size: int) -> tuple[list[Candidate], int]:
    space = asked.space
    hits, compared = asked.store.engine.search(
        SearchRequest(space.embedding_space_id, asked.vector, space.distance_metric, size, asked.filters)
    )
    return _as_candidates("dense", hits), compared


def _lexical(asked: Asked, size: int) -> tuple[list[Candidate], int]:
    engine, space_id = asked.store.engine, asked.space.embedding_space_id
    index = indexes_of(asked.store).current(engine, space_id, asked.policy.language)
    of_sources = {"source_types": asked.filters.source_types, "source_ids": _filtered_sources(asked)}
    hits, compared = index.best(asked.text, size, **of_sources)
    # The chunks may have changed since the index was found to be the current one.
    current = current_texts(asked.store, space_id, [hit.chunk_id for hit in hits])
    return _as_candidates("lexical", [hit for hit in hits if current.get(hit.chunk_id) == hit.content_sha256]), compared


def _filtered_sources(asked: Asked) -> Collection[str] | None:
    """The sources that the filters leave, but for their types; None for all. The index knows the source of a text, so
    that no chunk has to be named."""
    filters, engine = replace(asked.filters, source_types=()), asked.store.engine
    if not replace(filters, source_ids=()):
        return filters.source_ids or None
    conditions, values = engine.filter_conditions(filters)
    registry = engine.table("source_registry")
    sql = f"select searched.source_id from {registry} as searched where {' and '.join(conditions)}"
    return [source_id for (source_id,) in engine.query(sql, values)]


def _as_candidates(part: str, hits: Sequence[SearchHit]) -> list[Candidate]:
    return [
        Candidate(hit.chunk_id, hit.content_sha256, hit.score, {part: hit.score, f"{part}_rank": rank})
        for rank, hit in enumerate(hits, 1)
    ]


def _fused(k: int, *parts: Sequence[Candidate]) -> list[Candidate]:
    scores = reciprocal_rank_fusion([[each.chunk_id for each in part] for part in parts], k)
    found: dict[str, Candidate] = {}
    for part in parts:
        for each in part:
            known = found.get(each.chunk_id, each)
            found[each.chunk_id] = replace(known, components={**known.components, **each.components})
    return [_rescored(found[chunk_id], "fused", score) for chunk_id, score in scores.items()]


def _rescored(candidate: Candidate, name: str, score: float) -> Candidate:
    return replace(candidate, score=score, components={**candidate.components, name: score})


def _reranked(asked: Asked, name: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    reranker = load_reranker(name)
    if not candidates:
        return []
    details = chunk_details(asked.store, [each.chunk_id for each in candidates])
    scores = reranked(reranker, name, asked.text, [details[each.chunk_id][3] for each in candidates])
    found = [_rescored(each, "rerank", score) for each, score in zip(candidates, scores, strict=True)]
    return sorted(found, key=lambda each: (-each.score, each.chunk_id))


def _passes(candidate: Candidate, policy: SearchPolicy) -> bool:
    return policy.min_score is None or candidate.score >= policy.min_score


def _limited(asked: Asked, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those with the least score, and at most so many a source."""
    kept = {each.chunk_id: each for each in candidates if _passes(each, asked.policy)}
    if asked.policy.per_source is None:
        return list(kept.values())
    sources = _sources(asked.store, list(kept))
    return [kept[chunk_id] for chunk_id in first_of_each(list(kept), sources, asked.policy.per_source)]


def _diverse(asked: Asked, trade_off: float, candidates: Sequence[Candidate]) -> list[Candidate]:
    vectors = _vectors(asked, candidates)
    candidates = [each for each in candidates if each.chunk_id in vectors]
    if not candidates:
        return []
    scores = np.asarray([each.score for each in candidates])
    # Cosines weigh against cosines as they are; other scores are brought to their range first.
    are_cosines = asked.policy.mode == "dense" and not asked.policy.rerank and asked.space.distance_metric == "cosine"
    matrix = np.asarray([vectors[each.chunk_id] for each in candidates], dtype=np.float32)
    relevance = scores if are_cosines else scaled(scores)
    return [
        replace(candidates[i], components={**candidates[i].components, "mmr": value})
        for i, value in maximal_marginal_relevance(relevance, matrix, trade_off, asked.top_k)
    ]


def _vectors(asked: Asked, candidates: Sequence[Candidate]) -> dict[str, list[float]]:
    """The current vectors of candidates in the space."""
    engine = asked.store.engine
    with engine.staged([_KEY], [(each.chunk_id,) for each in candidates]) as staged:
        rows = engine.query(
            f"select searched.chunk_id, searched.vector from {engine.table('embedding_current')} as searched"
            f" inner join {staged} as staged on staged.chunk_id = searched.chunk_id"
            " where searched.embedding_space_id = ?",
            [asked.space.embedding_space_id],
        )
    return {chunk_id: engine.decode_vector(vector) for chunk_id, vector in rows}


def current_texts(store: VectorStore, embedding_space_id: str, chunk_ids: Sequence[str]) -> dict[str, str]:
    """Those of the chunks that a search of the space may find, with their content hash."""
    engine = store.engine
    with engine.staged([_KEY], [(chunk_id,) for chunk_id in chunk_ids]) as staged:
        rows = engine.query(
            f"select searched.chunk_id, searched.input_content_sha256 from {engine.table('embedding_current')} as"
            f" searched inner join {staged} as staged on staged.chunk_id = searched.chunk_id"
            " where searched.embedding_space_id = ?",
            [embedding_space_id],
        )
    return dict(rows)


def _sources(store: VectorStore, chunk_ids: Sequence[str]) -> Mapping[str, str]:
    """The source of each chunk; a chunk of no source stands for itself."""
    engine = store.engine
    with engine.staged([_KEY], [(chunk_id,) for chunk_id in chunk_ids]) as staged:
        rows = engine.query(
            "select chunk.chunk_id, coalesce(chunk.source_id, chunk.chunk_id)"
            f" from {staged} as staged inner join {engine.table('chunk')} as chunk on chunk.chunk_id = staged.chunk_id"
        )
    return dict(rows)


def chunk_details(store: VectorStore, chunk_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Source id, source type, source title and text of each chunk."""
    engine = store.engine
    with engine.staged([_KEY], [(chunk_id,) for chunk_id in chunk_ids]) as staged:
        rows = engine.query(
            "select chunk.chunk_id, chunk.source_id, chunk.source_type, source.title, chunk.content"
            f" from {staged} as staged inner join {engine.table('chunk')} as chunk on chunk.chunk_id = staged.chunk_id"
            f" left join {engine.table('source_registry')} as source on source.source_id = chunk.source_id"
        )
    return {row[0]: row[1:] for row in rows}
