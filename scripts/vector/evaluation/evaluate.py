"""Judged questions, asked in a space and measured: what RETRIEVE_TEST and `vector spaces evaluate` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from vector.contracts.models import EmbeddingSpace, JobType
from vector.errors import UnusableInput
from vector.evaluation.intervals import measure_run
from vector.evaluation.no_answer import best_scores
from vector.evaluation.questions import DEFAULT_TOP_K, ask, read_questions
from vector.search.policy import BY_SOURCE, SearchPolicy
from vector.spaces.coverage import coverage_of
from vector.store import VectorStore
from vector.store.runs import recorded_run


def evaluate(
    store: VectorStore,
    space: EmbeddingSpace,
    query_set: str | None = None,
    top_k: int | None = None,
    policy: SearchPolicy = BY_SOURCE,
) -> dict[str, Any]:
    """Asks the judged questions in the space by the policy, logged under a run of their own, as the job RETRIEVE_TEST
    is without a queue; the metrics of `measured` and the `run_id`. Without a policy, chunks rank by their vectors, one
    hit a source. A reranker may be any function, as in a search.

    Raises as `measured` does.
    """
    top_k = DEFAULT_TOP_K if top_k is None else top_k
    given = {"space_key": space.space_key, "top_k": top_k, "source_types": [], **_job_keys(policy)}
    if query_set is not None:
        given["query_set"] = query_set
    with recorded_run(store, JobType.RETRIEVE_TEST, given, space.embedding_space_id) as run:
        run.metrics = measured(store, run.run_id, space, query_set, top_k, (), policy)
    return {"run_id": run.run_id, **run.metrics}


def measured(
    store: VectorStore,
    run_id: str,
    space: EmbeddingSpace,
    query_set: str | None,
    top_k: int,
    source_types: Sequence[str],
    policy: SearchPolicy,
    before_each: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Asks and measures. Metrics: `policy`, as it was asked; `coverage` of the chunks that may be found, as
    vector.spaces.coverage.coverage_of gives it, at the first question; `mean`, by metric, over the `query_count`
    questions that have an answer; `best_score`, as vector.evaluation.no_answer.best_scores gives it, null where no
    question was judged to have no answer.

    `before_each` is told before a question how many were asked. Raises UnusableInput when no question has a relevant
    judgment, and as read_questions and vector.retrieval.search do.
    """
    policy = policy.in_warehouse(store.engine)
    questions = read_questions(store, query_set)
    judged = [question for question in questions if question.judgments]
    without_answer = {question.query_id for question in judged if not question.has_answer}
    if len(judged) == len(without_answer):
        raise UnusableInput("none of the questions has a relevant judgment; add some to the seed eval_judgment")
    coverage = coverage_of(store, space, list(source_types))
    ask(store, run_id, space, judged, top_k, source_types, policy, before_each)
    return {
        "space_key": space.space_key,
        "query_set": query_set,
        "top_k": top_k,
        "policy": policy.asked_json(top_k),
        "coverage": coverage,
        "query_count": len(judged) - len(without_answer),
        "queries_without_answer": len(without_answer),
        "queries_without_judgments": len(questions) - len(judged),
        "mean": measure_run(store, run_id),
        "best_score": best_scores(store, run_id, without_answer) if without_answer else None,
    }


def _job_keys(policy: SearchPolicy) -> dict[str, Any]:
    """The keys of a job's input for the policy: hits a source, and what is not the default."""
    given = {each.name: getattr(policy, each.name) for each in fields(policy) if each.name != "rrf_k"}
    return {name: value for name, value in given.items() if name == "per_source" or value != getattr(BY_SOURCE, name)}
