"""Logged searches run again: which hits came, went or moved since, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from vector.candidates import current_texts
from vector.contracts.ledgers import Column
from vector.contracts.models import EmbeddingSpace, VectorRetrieval, VectorRetrievalHit
from vector.engines.filters import SearchFilters, naive_utc
from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused
from vector.providers import EmbeddingProvider, open_provider
from vector.redaction import is_redacted
from vector.rerankers import is_entry_point
from vector.retrieval import FoundChunk, Question, embed_question, search_question
from vector.search_policy import SearchPolicy
from vector.store import VectorStore

# What float32 sums of another order may differ by.
SCORE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class HitChange:
    """A hit that is not as it was. `change` is new, gone or moved; ranks and scores are None where it was no hit.

    `reasons`, one or more of: chunk_new, chunk_retired, text_changed, vector_new, vector_missing, filtered_out,
    source_changed, score_moved, and, where the hit itself is as it was, outranked or moved_up.
    """

    chunk_id: str
    source_id: str | None
    change: str
    rank_then: int | None
    rank_now: int | None
    score_then: float | None
    score_now: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Replay:
    """A logged search and how its answer differs now. `not_replayed` says why it could not be run again, if so; `notes`
    what else is different: space_inactive, question_vector_changed. `unchanged` hits have no change."""

    retrieval_id: str
    searched_utc: datetime
    query: str
    space_key: str | None
    not_replayed: str | None = None
    notes: tuple[str, ...] = ()
    unchanged: int = 0
    changes: list[HitChange] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The replay for JSON."""
        return {**asdict(self), "searched_utc": self.searched_utc.isoformat()}


def logged_since(store: VectorStore, since: datetime, limit: int | None = None) -> list[VectorRetrieval]:
    """Searches logged at or after a moment (UTC if naive), the latest first."""
    sql = (
        f"select retrieval_id from {store.engine.table('retrieval')} where created_utc >= ?"
        " order by created_utc desc, retrieval_id"
    )
    parameters: list[Any] = [naive_utc(since)]
    if limit is not None:
        sql += " offset 0 rows fetch next ? rows only"
        parameters.append(limit)
    found = (store.get_retrieval(retrieval_id) for (retrieval_id,) in store.engine.query(sql, parameters))
    return [retrieval for retrieval in found if retrieval is not None]


def replay(store: VectorStore, retrievals: Iterable[VectorRetrieval], reranker: str | None = None) -> Iterator[Replay]:
    """Runs logged searches again, each with its own filters and policy, and logs nothing.

    A `reranker` of the form module:function is only imported where it is named here: the log is data, not code.
    """
    providers: dict[str, EmbeddingProvider] = {}
    try:
        for retrieval in retrievals:
            yield _replayed(store, retrieval, providers, reranker)
    finally:
        for provider in providers.values():
            provider.close()


def _replayed(
    store: VectorStore, retrieval: VectorRetrieval, providers: dict[str, EmbeddingProvider], reranker: str | None
) -> Replay:
    space = store.get_embedding_space(retrieval.embedding_space_id)
    about = (retrieval.retrieval_id, retrieval.created_utc, retrieval.query_text, space.space_key)
    if is_redacted(retrieval):
        return Replay(*about, not_replayed="redacted: the log has only a hash of the question")
    notes = () if space.is_active else ("space_inactive",)
    try:
        filters, policy = SearchFilters.from_json(retrieval.filters), SearchPolicy.from_json(retrieval.policy)
        _check_reranker(policy, reranker)
        question = _question(store, space, retrieval, policy, providers)
        now = search_question(store, space, question, retrieval.top_k, filters, policy, log=False).hits
    except (ConfigurationError, ProviderError, SpaceRefused, InputRefused) as error:
        return Replay(*about, not_replayed=str(error), notes=notes)
    if _vector_changed(retrieval, question):
        notes = (*notes, "question_vector_changed")
    then = store.list_retrieval_hits(retrieval.retrieval_id)
    changes = _changes(store, retrieval, filters, then, now)
    kept = len({hit.chunk_id for hit in then} - {change.chunk_id for change in changes})
    return Replay(*about, notes=notes, unchanged=kept, changes=changes)


def _check_reranker(policy: SearchPolicy, reranker: str | None) -> None:
    if policy.rerank and policy.rerank != reranker and not is_entry_point(policy.rerank):
        raise ConfigurationError(f"was reranked by {policy.rerank}; allow it by --rerank {policy.rerank}")


def _question(
    store: VectorStore,
    space: EmbeddingSpace,
    retrieval: VectorRetrieval,
    policy: SearchPolicy,
    providers: dict[str, EmbeddingProvider],
) -> Question:
    if policy.mode == "lexical":
        return Question(retrieval.query_text, space.embedding_space_id, None)
    if space.embedding_space_id not in providers:
        providers[space.embedding_space_id] = open_provider(space)
    return embed_question(store, space, providers[space.embedding_space_id], retrieval.query_text)


def _vector_changed(retrieval: VectorRetrieval, question: Question) -> bool:
    if retrieval.query_embedding is None or question.vector is None:
        return False
    return not np.allclose(retrieval.query_embedding, question.vector, rtol=0, atol=SCORE_TOLERANCE)


@dataclass(frozen=True)
class _ChunkNow:
    """What there is to know of a chunk now; times are naive UTC. `text_utc` and `vector_utc` are of its current text,
    `vector_utc` None where that has no vector in the space."""

    source_id: str | None
    content_sha256: str
    created_utc: datetime
    retired_utc: datetime | None
    text_utc: datetime | None
    source_utc: datetime | None
    vector_utc: datetime | None


def _changes(
    store: VectorStore,
    retrieval: VectorRetrieval,
    filters: SearchFilters,
    then: Sequence[VectorRetrievalHit],
    now: Sequence[FoundChunk],
) -> list[HitChange]:
    before, after = {hit.chunk_id: hit for hit in then}, {hit.chunk_id: hit for hit in now}
    chunks = _chunks_now(store, retrieval.embedding_space_id, list(before | after))
    passing = _passing(store, retrieval.embedding_space_id, filters, [key for key in before if key not in after])
    searched = naive_utc(retrieval.created_utc)
    found = []
    for chunk_id in before | after:
        was, is_now, chunk = before.get(chunk_id), after.get(chunk_id), chunks[chunk_id]
        if is_now is None:
            change, reasons = "gone", _reasons_gone(was, chunk, chunk_id in passing)
        elif was is None:
            change, reasons = "new", _reasons_new(chunk, searched, bool(filters))
        else:
            change, reasons = "moved", _reasons_moved(was, is_now)
        if reasons:
            ranks = (was and was.rank, is_now and is_now.rank)
            scores = (was and was.score, is_now and is_now.score)
            found.append(HitChange(chunk_id, chunk.source_id, change, *ranks, *scores, tuple(reasons)))
    return sorted(found, key=lambda change: (change.rank_now or change.rank_then, change.rank_then or 0))


def _reasons_gone(hit: VectorRetrievalHit, chunk: _ChunkNow, passes: bool) -> list[str]:
    if chunk.retired_utc is not None:
        return ["chunk_retired"]
    reasons = ["text_changed"] if chunk.content_sha256 != hit.content_sha256 else []
    if chunk.vector_utc is None:
        reasons.append("vector_missing")
    elif not passes:
        reasons.append("filtered_out")
    return reasons or ["outranked"]


def _reasons_new(chunk: _ChunkNow, searched: datetime, filtered: bool) -> list[str]:
    if chunk.created_utc > searched:
        return ["chunk_new"]
    since = {
        "text_changed": chunk.text_utc,
        "vector_new": chunk.vector_utc,
        "source_changed": chunk.source_utc if filtered else None,
    }
    return [reason for reason, moment in since.items() if moment is not None and moment > searched] or ["moved_up"]


def _reasons_moved(was: VectorRetrievalHit, is_now: FoundChunk) -> list[str]:
    if was.content_sha256 != is_now.content_sha256:
        return ["text_changed"]
    if not math.isclose(was.score, is_now.score, rel_tol=SCORE_TOLERANCE, abs_tol=SCORE_TOLERANCE):
        return ["score_moved"]
    if was.rank == is_now.rank:
        return []
    return ["outranked" if is_now.rank > was.rank else "moved_up"]


def _chunks_now(store: VectorStore, embedding_space_id: str, chunk_ids: Sequence[str]) -> dict[str, _ChunkNow]:
    engine = store.engine
    with engine.staged([Column("chunk_id", "", "text")], [(chunk_id,) for chunk_id in chunk_ids]) as staged:
        rows = engine.query(
            "select chunk.chunk_id, chunk.source_id, chunk.content_sha256, chunk.created_utc, chunk.retired_utc,"
            " version.created_utc, source.updated_utc, embedding.created_utc"
            f" from {staged} as staged inner join {engine.table('chunk')} as chunk on chunk.chunk_id = staged.chunk_id"
            f" left join {engine.table('chunk_version')} as version"
            " on version.chunk_id = chunk.chunk_id and version.content_sha256 = chunk.content_sha256"
            f" left join {engine.table('source_registry')} as source on source.source_id = chunk.source_id"
            f" left join {engine.table('embedding')} as embedding on embedding.chunk_id = chunk.chunk_id"
            " and embedding.input_content_sha256 = chunk.content_sha256 and embedding.embedding_space_id = ?",
            [embedding_space_id],
        )
    return {row[0]: _ChunkNow(*row[1:]) for row in rows}


def _passing(store: VectorStore, embedding_space_id: str, filters: SearchFilters, chunk_ids: Sequence[str]) -> set[str]:
    """Those of the chunks that a search of the space with these filters may find."""
    current = set(current_texts(store, embedding_space_id, chunk_ids))
    if not filters or not current:
        return current
    engine = store.engine
    conditions, values = engine.filter_conditions(filters)
    with engine.staged([Column("chunk_id", "", "text")], [(chunk_id,) for chunk_id in current]) as staged:
        rows = engine.query(
            f"select searched.chunk_id from {engine.table('chunk')} as searched inner join {staged} as staged"
            f" on staged.chunk_id = searched.chunk_id where {' and '.join(conditions)}",
            values,
        )
    return {row[0] for row in rows}
