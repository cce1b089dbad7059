"""Search: a question becomes a vector of the space, is compared with the space's current vectors, and is logged."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from vector.contracts.identity import is_blank, require_storable_text
from vector.contracts.models import EmbeddingSpace, VectorRetrieval, VectorRetrievalHit
from vector.engines.filters import NO_FILTERS, SearchFilters
from vector.errors import ConfigurationError
from vector.providers.base import EmbeddingProvider, PreprocessPolicy, check_reply
from vector.providers.unknown_tokens import MOST_UNKNOWN, reading
from vector.search.candidates import Asked, Candidate, choose, chunk_details
from vector.search.policy import HYBRID, SearchPolicy, is_count
from vector.search.redaction import redaction_is_set
from vector.search.results import Results
from vector.search.snippets import Snippet, Snippets
from vector.search.stages import SKETCH, chosen_stage
from vector.spaces.pinning import refuse_another_model
from vector.store import VectorStore
from vector.wording import counted, excerpt

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """A question and its vector, float32 of shape (dimensions,), which belongs to one space; None where only words are
    compared. `embedding_ms` is what the model took. `tokens` are those of the model's input, and how many of them it
    used: fewer where it was truncated; None where the provider cannot tell. `reading` says how well the model reads the
    question's script and language, from 0 to 1; 1 where the provider cannot tell."""

    text: str
    embedding_space_id: str
    vector: np.ndarray | None = field(repr=False)
    embedding_ms: float = 0.0
    tokens: tuple[int, int] | None = None
    reading: float = 1.0

    @property
    def truncated(self) -> bool | None:
        """Whether the model saw less than the whole question; None where that is not known."""
        return None if self.tokens is None else self.tokens[1] < self.tokens[0]


@dataclass(frozen=True)
class FoundChunk:
    """A hit with what a reader wants to see of it. `rank` counts from 1; a higher `score` is better. `components` are
    the scores and ranks behind it (docs/search.md). `context`, `source_ref` and the offsets are those of
    ChunkDetails."""

    rank: int
    score: float
    chunk_id: str
    content_sha256: str
    source_id: str | None
    source_type: str
    source_title: str | None
    content: str
    components: dict[str, float] = field(default_factory=dict)
    source_ref: dict[str, Any] | None = None
    start_offset: int | None = None
    end_offset: int | None = None
    context: str | None = None


@dataclass(frozen=True, repr=False)
class SearchResult(Results[FoundChunk]):
    """A search and its hits, whose sequence it is. `retrieval` is what the log holds, if the search was logged, and
    more of the question than the log has where that is redacted. `query_tokens` are the question's, as Question has
    them."""

    COLUMNS = {
        "retrieval_id": "text", "rank": "integer", "score": "real", "chunk_id": "text", "content_sha256": "text",
        "source_id": "text", "source_type": "text", "source_title": "text", "context": "text", "content": "text",
        "source_ref": "json", "start_offset": "integer", "end_offset": "integer", "components": "json",
    }  # fmt: skip

    retrieval: VectorRetrieval
    hits: list[FoundChunk]
    logged: bool
    query_tokens: tuple[int, int] | None = None

    @property
    def retrieval_id(self) -> str | None:
        """What the log knows it by; None where it was not logged."""
        return self.retrieval.retrieval_id if self.logged else None

    @property
    def items(self) -> list[FoundChunk]:
        """The hits."""
        return self.hits

    @property
    def ledger_hits(self) -> list[VectorRetrievalHit]:
        """The hits as the log keeps them."""
        of = self.retrieval.retrieval_id
        return [
            VectorRetrievalHit(of, hit.rank, hit.chunk_id, hit.score, hit.components or None, hit.content_sha256)
            for hit in self.hits
        ]

    @property
    def title(self) -> str:
        """The question, and how many hits it has."""
        return f"{counted(len(self.hits), 'hit')} for {excerpt(self.retrieval.query_text)!r}"

    @cached_property
    def snippets(self) -> list[Snippet]:
        """Of each hit the sentence that has most of the question's words."""
        bm25 = (self.retrieval.policy or {}).get("bm25") or {}
        make = Snippets(self.retrieval.query_text or "", bm25.get("language"))
        return [make.of(hit.content, hit.source_type) for hit in self.hits]

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary a hit, with the retrieval's id."""
        return [{"retrieval_id": self.retrieval_id, **vars(hit)} for hit in self.hits]

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON: the query and how it was answered, then `hits`, best first."""
        return {**self.question_dict(), "hits": [vars(hit) for hit in self.hits]}

    def question_dict(self) -> dict[str, Any]:
        """The same without the hits."""
        retrieval = self.retrieval
        return {
            "retrieval_id": self.retrieval_id,
            "query": retrieval.query_text,
            "query_truncated": retrieval.query_truncated_flag,
            "embedding_space_id": retrieval.embedding_space_id,
            "top_k": retrieval.top_k,
            "filters": retrieval.filters,
            "policy": retrieval.policy,
            "candidates": retrieval.candidate_count,
            "search_stage": retrieval.search_stage,
            "latency_ms": retrieval.latency_ms,
        }


def search(
    store: VectorStore,
    space: EmbeddingSpace,
    provider: EmbeddingProvider | None,
    query: str,
    top_k: int = 10,
    source_types: Iterable[str] = (),
    source_ids: Iterable[str] = (),
    log: bool = True,
    run_id: str | None = None,
    eval_query_id: str | None = None,
    *,
    tags: Iterable[tuple[str, str]] | Mapping[str, str] = (),
    updated_from: date | None = None,
    updated_before: date | None = None,
    policy: SearchPolicy = HYBRID,
    redact: bool | None = None,
    stage: str | None = None,
) -> SearchResult:
    """The `top_k` current chunks that answer the question best in the space, best first, ties by chunk id.

    Only vectors of this space are compared, and only those of current texts: all of them, or in a large space those
    that their sketches leave, as `stage` (auto, exact, sketch) or else VECTOR_SEARCH says. The search is logged unless
    `log` is false, with the run and the evaluation question that it is of, if any. The filters are those of
    SearchFilters; without a `policy`, chunks rank by their vectors and their words. A lexical policy needs no
    `provider`. Words are compared in the policy's language, or else the warehouse's.
    `redact`: log the question as its hash only; by default what `redaction_is_set` says, and not for an evaluation
    question, which stands in a seed.

    Raises ConfigurationError on an empty question, a top_k that is no number from 1, a filter that makes no sense, a
    provider of another space, or a reranker that fails; InvalidRecord on a question, or a value of a filter, that holds
    a NUL or a lone surrogate; ProviderError when the model cannot be used; SpaceRefused when another one filled the
    space.
    """
    _check_question(query, top_k)
    filters = SearchFilters(source_types, source_ids, tags, updated_from, updated_before)
    if policy.needs_model:
        question = embed_question(store, space, provider, query)
    else:
        question = Question(query, space.embedding_space_id, None)
    if redact is None:
        redact = log and eval_query_id is None and redaction_is_set()
    return search_question(
        store, space, question, top_k, filters, policy, log, redact, stage, run_id=run_id, eval_query_id=eval_query_id
    )


def embed_question(
    store: VectorStore, space: EmbeddingSpace, provider: EmbeddingProvider | None, text: str
) -> Question:
    """The question with its vector, by the space's own policy for queries. Raises as `search` does."""
    if provider is None:
        raise ConfigurationError(f"space {space.space_key}: to compare vectors, a search needs the space's model")
    of_space = getattr(provider, "embedding_space_id", None)
    if of_space not in (None, space.embedding_space_id):
        raise ConfigurationError(
            f"space {space.space_key} ({space.embedding_space_id}) cannot be searched with the model of space"
            f" {of_space}: vectors are only compared within a space; open the provider of the space that is searched"
        )
    refuse_another_model(store, space, provider)
    started = time.perf_counter()
    reply = provider.embed([PreprocessPolicy.from_dict(space.preprocess_policy).query_input(text)])
    check_reply(reply, 1, space.dimensions)
    taken = (time.perf_counter() - started) * 1000
    if reply.unknown_shares and reply.unknown_shares[0] > MOST_UNKNOWN:
        logger.warning(
            "space %s: its model does not know %.0f%% of the question's words, so what it finds has little to do with"
            " them; search lexically, or in the space of another model",
            space.space_key,
            100 * reply.unknown_shares[0],
        )
    (given,), (used,) = reply.input_tokens, reply.used_tokens
    tokens = None if given is None or used is None else (given, used)
    fertility = getattr(provider, "fertility", lambda text: None)(text)
    read = 1.0 if fertility is None else round(reading(fertility), 3)
    return Question(text, space.embedding_space_id, reply.vectors[0], taken, tokens, read)


def search_question(
    store: VectorStore,
    space: EmbeddingSpace,
    question: Question,
    top_k: int = 10,
    filters: SearchFilters = NO_FILTERS,
    policy: SearchPolicy = HYBRID,
    log: bool = True,
    redact: bool = False,
    stage: str | None = None,
    **of_run: Any,
) -> SearchResult:
    """What `search` gives, for a question that has its vector already. `of_run`: run_id and eval_query_id.

    Raises ConfigurationError when the question's vector is of another space, or is missing.
    """
    _check_question(question.text, top_k)
    _check_space(space, question, policy)
    store = store.latest()
    started = time.perf_counter()
    policy = policy.in_warehouse(store.engine)
    asked = Asked(
        store, space, question.text, question.vector, top_k, filters, policy, question.reading, chosen_stage(stage)
    )
    hits, compared = choose(asked)
    retrieval = VectorRetrieval.create_new(
        space.embedding_space_id,
        question.text,
        top_k,
        query_embedding=None if question.vector is None else question.vector.tolist(),
        filters=filters.to_json(),
        policy=policy.to_json(top_k, space.distance_metric),
        candidate_count=compared.count,
        latency_ms=round(question.embedding_ms + (time.perf_counter() - started) * 1000, 3),
        engine=store.engine.name,
        exact_flag=compared.stage != SKETCH,
        search_stage=compared.stage,
        query_truncated_flag=question.truncated,
        **of_run,
    )
    found = SearchResult(retrieval, _found(store, hits), log, question.tokens)
    if log:
        store.save_retrieval(retrieval.redacted() if redact else retrieval, found.ledger_hits)
    return found


def _check_space(space: EmbeddingSpace, question: Question, policy: SearchPolicy) -> None:
    if question.embedding_space_id != space.embedding_space_id:
        raise ConfigurationError(
            f"space {space.space_key} ({space.embedding_space_id}) cannot be searched with a vector of space"
            f" {question.embedding_space_id}: vectors are only compared within a space; embed the question again"
        )
    if not policy.needs_model:
        return
    shape = None if question.vector is None else question.vector.shape
    if shape != (space.dimensions,):
        raise ConfigurationError(
            f"space {space.space_key} has vectors of {space.dimensions} dimensions, the question's is of shape {shape}"
        )


def _check_question(query: str, top_k: int) -> None:
    if not isinstance(query, str):
        raise ConfigurationError(f"the question is {query!r}; give a text")
    if is_blank(query):
        raise ConfigurationError("the question is empty; ask something")
    if not is_count(top_k):
        raise ConfigurationError(f"top_k is {top_k!r}; ask for a whole number of hits, at least 1")
    require_storable_text(query, "the question")


def _found(store: VectorStore, hits: Sequence[Candidate]) -> list[FoundChunk]:
    details = chunk_details(store, [hit.chunk_id for hit in hits])
    return [
        FoundChunk(
            rank,
            hit.score,
            hit.chunk_id,
            hit.content_sha256,
            components=hit.components,
            **details[hit.chunk_id]._asdict(),
        )
        for rank, hit in enumerate(hits, 1)
    ]
