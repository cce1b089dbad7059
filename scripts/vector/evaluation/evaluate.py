"""Evaluation by hand: the job RETRIEVE_TEST without a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vector.contracts.models import EmbeddingSpace, JobType, VectorJob, VectorRun
from vector.evaluation.questions import policy_keys
from vector.jobs.handlers import retrieve_test
from vector.search.policy import BY_SOURCE, SearchPolicy
from vector.store.runs import recorded_run
from vector.store.store import VectorStore


@dataclass
class _ByHand:
    """What a handler sees of its worker: here there is no lease, and Ctrl-C ends the process."""

    store: VectorStore
    job: VectorJob
    run: VectorRun

    def heartbeat(self) -> None:
        """Nothing to extend."""

    def should_stop(self) -> bool:
        """Never asked to stop."""
        return False


def evaluate(
    store: VectorStore,
    space: EmbeddingSpace,
    query_set: str | None = None,
    top_k: int | None = None,
    policy: SearchPolicy = BY_SOURCE,
) -> dict[str, Any]:
    """Asks the judged questions in the space by the policy, logged under a run of their own; the metrics of
    RETRIEVE_TEST and the `run_id`. Without a policy, chunks rank by their vectors, one
    hit a source. A reranker may be any function, as in a search.

    Raises ConfigurationError when there are no judged questions, and as vector.retrieval.search does.
    """
    given = {"space_key": space.space_key, "query_set": query_set, "top_k": top_k}
    chosen = retrieve_test.validate({name: value for name, value in given.items() if value is not None})
    with recorded_run(store, JobType.RETRIEVE_TEST, {**chosen, **policy_keys(policy)}, space.embedding_space_id) as run:
        job = store.get_job(run.job_id)
        assert job is not None
        run.metrics = retrieve_test.measured(_ByHand(store, job, run), chosen, policy)
    return {"run_id": run.run_id, **run.metrics}
