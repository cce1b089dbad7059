"""Runs logged searches again: which hits are new, gone, moved, or of another text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from vector.contracts.models import EmbeddingSpace, VectorRetrieval, VectorRetrievalHit
from vector.engines.filters import SearchFilters, naive_utc
from vector.errors import ConfigurationError, ProviderError, SpaceRefused, UnusableVector, VectorError
from vector.providers import EmbeddingProvider, open_provider
from vector.search.policy import SearchPolicy
from vector.search.rerankers import DBT_VAR, GROUP, is_entry_point
from vector.search.search import FoundChunk, Question, embed_question, search_question
from vector.search.stages import EXACT
from vector.store import VectorStore

# What float32 sums of another order may differ by.
VECTOR_TOLERANCE = 1e-5


@dataclass(frozen=True)
class HitChange:
    """A hit that is not as it was. `change` is new, gone, text_changed, or moved, where the text is the same; ranks and
    scores are None where it was no hit."""

    chunk_id: str
    source_id: str | None
    change: str
    rank_then: int | None
    rank_now: int | None
    score_then: float | None
    score_now: float | None


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


def logged_since(
    store: VectorStore,
    since: datetime,
    limit: int | None = None,
    embedding_space_id: str | None = None,
    evaluations: bool = True,
) -> list[VectorRetrieval]:
    """Searches logged at or after a moment (UTC if naive), the latest first: of one space, if it is given; without
    those of runs (RETRIEVE_TEST, DRIFT_TEST) and other judged questions, if not `evaluations`."""
    sql = f"select retrieval_id from {store.engine.table('retrieval')} where created_utc >= ?"
    parameters: list[Any] = [naive_utc(since)]
    if embedding_space_id is not None:
        sql += " and embedding_space_id = ?"
        parameters.append(embedding_space_id)
    if not evaluations:
        sql += " and run_id is null and eval_query_id is null"
    sql += " order by created_utc desc, retrieval_id"
    if limit is not None:
        sql += " offset 0 rows fetch next ? rows only"
        parameters.append(limit)
    found = (store.get_retrieval(retrieval_id) for (retrieval_id,) in store.engine.query(sql, parameters))
    return [retrieval for retrieval in found if retrieval is not None]


class _Models:
    """The models of spaces, each opened once. One that cannot be used is not asked again: what it failed with holds for
    the other searches of its space. A question that it refuses, or answers with no usable vector, fails alone."""

    def __init__(self) -> None:
        self._opened: dict[str, EmbeddingProvider] = {}
        self._failed: dict[str, VectorError] = {}

    def question(self, store: VectorStore, space: EmbeddingSpace, text: str) -> Question:
        """The question with its vector. Raises as embed_question does."""
        key = space.embedding_space_id
        if key in self._failed:
            raise self._failed[key]
        try:
            if key not in self._opened:
                self._opened[key] = open_provider(space)
            return embed_question(store, space, self._opened[key], text)
        except UnusableVector:
            raise
        except (ConfigurationError, ProviderError, SpaceRefused) as error:
            self._failed[key] = error
            raise

    def close(self) -> None:
        """Closes those that were opened."""
        for provider in self._opened.values():
            provider.close()


def replay(
    store: VectorStore, retrievals: Iterable[VectorRetrieval], rerankers: Collection[str] = ()
) -> Iterator[Replay]:
    """Runs logged searches again, each with its own filters and policy, and logs nothing.

    A reranker of the log is used where it is an entry point, or one of these `rerankers`: the log is data, not code.
    """
    models = _Models()
    try:
        for retrieval in retrievals:
            yield _replayed(store, retrieval, models, rerankers)
    finally:
        models.close()


def _replayed(store: VectorStore, retrieval: VectorRetrieval, models: _Models, rerankers: Collection[str]) -> Replay:
    space = store.get_embedding_space(retrieval.embedding_space_id)
    about = (retrieval.retrieval_id, retrieval.created_utc, retrieval.query_text, space.space_key)
    if retrieval.is_redacted:
        return Replay(*about, not_replayed="redacted: the log has only a hash of the question")
    notes = () if space.is_active else ("space_inactive",)
    try:
        filters, policy = SearchFilters.from_json(retrieval.filters), SearchPolicy.from_json(retrieval.policy)
        _check_reranker(policy, rerankers)
        question = _question(store, space, retrieval, policy, models)
        # What earlier versions logged was exact.
        stage = retrieval.search_stage or EXACT
        now = search_question(store, space, question, retrieval.top_k, filters, policy, log=False, stage=stage).hits
        if _vector_changed(retrieval, question):
            notes = (*notes, "question_vector_changed")
        then = store.list_retrieval_hits(retrieval.retrieval_id)
        changes = _hit_changes(store, then, now)
    except VectorError as error:
        return Replay(*about, not_replayed=str(error), notes=notes)
    kept = len({hit.chunk_id for hit in then} - {change.chunk_id for change in changes})
    return Replay(*about, notes=notes, unchanged=kept, changes=changes)


def _hit_changes(store: VectorStore, then: Sequence[VectorRetrievalHit], now: Sequence[FoundChunk]) -> list[HitChange]:
    """The hits that are not as they were, by rank, those that are gone by the rank they had."""
    before, after = {hit.chunk_id: hit for hit in then}, {hit.chunk_id: hit for hit in now}
    found = []
    for chunk_id in before | after:
        was, is_now = before.get(chunk_id), after.get(chunk_id)
        if change := _change(was, is_now):
            chunk = is_now or store.get_chunk(chunk_id)
            ranks = (was and was.rank, is_now and is_now.rank)
            scores = (was and was.score, is_now and is_now.score)
            found.append(HitChange(chunk_id, chunk and chunk.source_id, change, *ranks, *scores))
    return sorted(found, key=lambda each: (each.rank_now or each.rank_then, each.rank_then or 0))


def _change(was: VectorRetrievalHit | None, is_now: FoundChunk | None) -> str | None:
    if was is None:
        return "new"
    if is_now is None:
        return "gone"
    if was.content_sha256 != is_now.content_sha256:
        return "text_changed"
    return "moved" if was.rank != is_now.rank else None


def _check_reranker(policy: SearchPolicy, rerankers: Collection[str]) -> None:
    # Not named: a row must not say which code people should allow.
    if policy.rerank and policy.rerank not in rerankers and not is_entry_point(policy.rerank):
        raise ConfigurationError(
            f"was reranked by a function that is no entry point of {GROUP} and not listed by the dbt variable {DBT_VAR}"
        )


def _question(
    store: VectorStore, space: EmbeddingSpace, retrieval: VectorRetrieval, policy: SearchPolicy, models: _Models
) -> Question:
    if not policy.needs_model:
        return Question(retrieval.query_text, space.embedding_space_id, None)
    return models.question(store, space, retrieval.query_text)


def _vector_changed(retrieval: VectorRetrieval, question: Question) -> bool:
    if retrieval.query_embedding is None or question.vector is None:
        return False
    then = np.asarray(retrieval.query_embedding, dtype=np.float64)
    return then.shape != question.vector.shape or not np.allclose(then, question.vector, rtol=0, atol=VECTOR_TOLERANCE)
