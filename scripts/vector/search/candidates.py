"""The hits of a search: candidates by vectors or words, fused, reranked, and chosen among by the policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from vector.contracts.json_column import parsed_json
from vector.contracts.ledgers import key_column
from vector.contracts.models import EmbeddingSpace
from vector.engines.base import Found, SearchHit, SearchRequest
from vector.engines.filters import SearchFilters
from vector.engines.vector_cache import similarity, usable_vector
from vector.search.lexical import LexicalIndex, indexes_of
from vector.search.policy import SearchPolicy
from vector.search.ranking import (
    above_the_mean,
    first_of_each,
    maximal_marginal_relevance,
    reciprocal_rank_fusion,
    scaled,
)
from vector.search.rerankers import load_reranker, reranked
from vector.search.stages import AUTO, search_by_vectors
from vector.store import VectorStore

_KEY = key_column("chunk_id")


@dataclass(frozen=True)
class Candidate:
    """A chunk that may become a hit. `score` is what it is ranked by; `components` are the scores and ranks behind it:
    dense, dense_rank, dense_mean, dense_max, dense_weight, lexical, lexical_rank, lexical_max, fused, rerank, mmr, as
    far as there are any."""

    chunk_id: str
    content_sha256: str
    score: float
    components: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What is searched for, where: `vector` is float32 of shape (dimensions,), None for a lexical search. `reading` is
    the share of their weight that the vectors of a fusion by scores have, by how well the model reads the question."""

    store: VectorStore
    space: EmbeddingSpace
    text: str
    vector: np.ndarray | None
    top_k: int
    filters: SearchFilters
    policy: SearchPolicy
    reading: float = 1.0
    stage: str = AUTO


class Compared(NamedTuple):
    """The number of vectors, or texts, that were compared; and of vectors the stage: `exact`, or `sketch`."""

    count: int
    stage: str | None = None


def choose(asked: Asked) -> tuple[list[Candidate], Compared]:
    """The hits, best first, and what passed the filters and was compared.

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


def _chosen_among_pool(asked: Asked) -> tuple[list[Candidate], Compared]:
    policy, size = asked.policy, asked.policy.pool_size(asked.top_k)
    candidates, compared = _candidates(asked, size)
    if policy.rerank is not None:
        candidates = _reranked(asked, policy.rerank, candidates[:size])
    hits = _limited(asked, candidates)
    if policy.mmr is not None:
        hits = _diverse(asked, policy.mmr, hits[:size])
    return hits[: asked.top_k], compared


def _candidates(asked: Asked, size: int) -> tuple[list[Candidate], Compared]:
    """The first candidates by the score of the mode, `size` of each part, and what was compared."""
    if asked.policy.mode == "dense":
        return _dense(asked, size)
    if asked.policy.mode == "lexical":
        return _lexical(asked, size)
    (dense, stage), lexical = _by_vectors(asked, size), _by_words(asked, size)
    fuse = _fused_by_rank if asked.policy.fusion == "rrf" else _fused_by_score
    return fuse(asked, dense, lexical), Compared(dense.compared, stage)


def _dense(asked: Asked, size: int) -> tuple[list[Candidate], Compared]:
    found, stage = _by_vectors(asked, size)
    return _as_candidates("dense", found.hits), Compared(found.compared, stage)


def _lexical(asked: Asked, size: int) -> tuple[list[Candidate], Compared]:
    found = _by_words(asked, size)
    return _as_candidates("lexical", found.hits), Compared(found.compared)


def _by_vectors(asked: Asked, size: int) -> tuple[Found, str]:
    space = asked.space
    request = SearchRequest(space.embedding_space_id, asked.vector, space.distance_metric, size, asked.filters)
    return search_by_vectors(asked.store.engine, space, request, asked.stage)


@dataclass(frozen=True)
class _FoundByWords:
    """The best hits by words, best first; of how many texts; and the BM25 of any chunk that passes the filters."""

    hits: list[SearchHit]
    compared: int
    index: LexicalIndex
    text: str

    def scores(self, chunk_ids: Sequence[str]) -> dict[str, float]:
        """The BM25 of those of the chunks that have a word of the question."""
        hits, _ = self.index.best(self.text, len(chunk_ids), chunk_ids)
        return {hit.chunk_id: hit.score for hit in hits}


def _by_words(asked: Asked, size: int) -> _FoundByWords:
    engine, space_id = asked.store.engine, asked.space.embedding_space_id
    index = indexes_of(asked.store).current(engine, space_id, asked.policy.language)
    of_sources = {"source_types": asked.filters.source_types, "source_ids": _filtered_sources(asked)}
    hits, compared = index.best(asked.text, size, **of_sources)
    # The chunks may have changed since the index was found to be the current one.
    current = current_texts(asked.store, space_id, [hit.chunk_id for hit in hits])
    hits = [hit for hit in hits if current.get(hit.chunk_id) == hit.content_sha256]
    return _FoundByWords(hits, compared, index, asked.text)


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


def _fused_by_rank(asked: Asked, dense: Found, lexical: _FoundByWords) -> list[Candidate]:
    rankings = [[hit.chunk_id for hit in part.hits] for part in (dense, lexical)]
    scores = reciprocal_rank_fusion(rankings, asked.policy.rrf_k)
    found = _joined(dense, lexical)
    return [_rescored(found[chunk_id], "fused", score) for chunk_id, score in scores.items()]


def _fused_by_score(asked: Asked, dense: Found, lexical: _FoundByWords) -> list[Candidate]:
    """Each chunk that one of the two found, by both of its scores, so that its place does not hang on the pool."""
    found = _joined(dense, lexical)
    of_words = lexical.scores([chunk_id for chunk_id, each in found.items() if "lexical" not in each.components])
    of_vectors = _similarities(asked, [each for each in found.values() if "dense" not in each.components])
    greatest = max((hit.score for hit in lexical.hits), default=0.0)
    top = dense.hits[0].score if dense.hits else 0.0
    # A question without a word that a text has is left to the vectors, however they read it.
    weight = round(asked.policy.dense_weight * (asked.reading if greatest else 1.0), 9)
    behind = {"dense_mean": dense.mean, "dense_max": top, "dense_weight": weight, "lexical_max": greatest}
    fused = []
    for chunk_id, each in found.items():
        scores = {"dense": of_vectors.get(chunk_id), "lexical": of_words.get(chunk_id, 0.0), **each.components}
        if scores["dense"] is None:
            continue  # its vector went meanwhile
        by_vectors = above_the_mean(scores["dense"], dense.mean, top)
        by_words = scores["lexical"] / greatest if greatest else 0.0
        # Rounded, so that no last digit of a sum decides.
        score = round(weight * by_vectors + (1 - weight) * by_words, 9)
        fused.append(Candidate(chunk_id, each.content_sha256, score, {**scores, **behind, "fused": score}))
    return sorted(fused, key=lambda each: (-each.score, each.chunk_id))


def _joined(dense: Found, lexical: _FoundByWords) -> dict[str, Candidate]:
    """The candidates of both, with the scores and ranks that each gave them."""
    found: dict[str, Candidate] = {}
    for each in (*_as_candidates("dense", dense.hits), *_as_candidates("lexical", lexical.hits)):
        known = found.get(each.chunk_id)
        found[each.chunk_id] = replace(known, components={**known.components, **each.components}) if known else each
    return found


def _similarities(asked: Asked, candidates: Sequence[Candidate]) -> dict[str, float]:
    """The score by their vectors of chunks that are not among the best by it."""
    vectors = _vectors(asked, candidates) if candidates else {}
    if not vectors:
        return {}
    matrix = np.asarray(list(vectors.values()), dtype=np.float32)
    scores = similarity(matrix, asked.vector, asked.space.distance_metric)
    return dict(zip(vectors, map(float, scores), strict=True))


def _rescored(candidate: Candidate, name: str, score: float) -> Candidate:
    return replace(candidate, score=score, components={**candidate.components, name: score})


def _reranked(asked: Asked, name: str, candidates: Sequence[Candidate]) -> list[Candidate]:
    reranker = load_reranker(name)
    if not candidates:
        return []
    details = chunk_details(asked.store, [each.chunk_id for each in candidates])
    scores = reranked(reranker, name, asked.text, [details[each.chunk_id].content for each in candidates])
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


def _vectors(asked: Asked, candidates: Sequence[Candidate]) -> dict[str, np.ndarray]:
    """The current vectors of candidates in the space, but for those that cannot be compared."""
    engine = asked.store.engine
    with engine.staged([_KEY], [(each.chunk_id,) for each in candidates]) as staged:
        rows = engine.query(
            f"select searched.chunk_id, searched.vector from {engine.table('embedding_current')} as searched"
            f" inner join {staged} as staged on staged.chunk_id = searched.chunk_id"
            " where searched.embedding_space_id = ?",
            [asked.space.embedding_space_id],
        )
    found = {chunk_id: usable_vector(engine.decode_vector(stored), asked.space.dimensions) for chunk_id, stored in rows}
    return {chunk_id: vector for chunk_id, vector in found.items() if vector is not None}


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


class ChunkDetails(NamedTuple):
    """What is shown of a chunk. `context` is its title and headings. `source_ref` names the row that it comes from; the
    offsets are code points of the source's text, the end exclusive. None where the chunk's row does not say it."""

    source_id: str | None
    source_type: str
    source_title: str | None
    context: str | None
    content: str
    source_ref: dict[str, Any] | None
    start_offset: int | None
    end_offset: int | None


def chunk_details(store: VectorStore, chunk_ids: Sequence[str]) -> dict[str, ChunkDetails]:
    """What is shown of each chunk."""
    engine = store.engine
    with engine.staged([_KEY], [(chunk_id,) for chunk_id in chunk_ids]) as staged:
        rows = engine.query(
            "select chunk.chunk_id, chunk.source_id, chunk.source_type, source.title, chunk.context, chunk.content,"
            " chunk.source_ref_json, chunk.offsets_json"
            f" from {staged} as staged inner join {engine.table('chunk')} as chunk on chunk.chunk_id = staged.chunk_id"
            f" left join {engine.table('source_registry')} as source on source.source_id = chunk.source_id"
        )
    found = {}
    for chunk_id, *texts, source_ref, offsets in rows:
        places = _object(offsets) or {}
        found[chunk_id] = ChunkDetails(
            *texts, _object(source_ref), *(_offset(places.get(name)) for name in ("start_offset", "end_offset"))
        )
    return found


def _object(text: str | None) -> dict[str, Any] | None:
    """The JSON object of a chunk's row, which anybody may have written: a hit is one all the same."""
    try:
        value = None if text is None else parsed_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _offset(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
