"""How sure a mean is: bootstrap intervals and the paired randomization test, computed once, when an evaluation ends.

The scores themselves are the warehouse's (the view `eval_score`); what is computed of them here is stored in the
ledger `evaluation_interval`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import fsum

import numpy as np

from vector.contracts.models import EvaluationInterval
from vector.engines.base import Engine
from vector.store import VectorStore

REPLICATES = 10_000
SEED = 1
_SCORES_AT_ONCE = 1_000_000

# Metric to question to score.
Scores = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Interval:
    """A mean, or a mean difference with its p-value, and the ends of its 95% interval."""

    query_count: int
    estimate: float
    ci_lower: float
    ci_upper: float
    p_value: float | None = None
    replicate_count: int = REPLICATES
    seed: int = SEED


def of_mean(scores: Mapping[str, float]) -> Interval:
    """The percentile bootstrap interval of the mean over questions, at least one (Efron and Tibshirani 1993, chapter
    13): from the k-th smallest to the k-th largest mean of B replicates, k = floor(0.025 (B + 1)) (section 12.5)."""
    values = np.array([scores[question] for question in sorted(scores)])
    random = np.random.default_rng(SEED)
    means = np.concatenate(
        [values[random.integers(len(values), size=(count, len(values)))].mean(axis=1) for count in _parts(len(values))]
    )
    k = int(0.025 * (REPLICATES + 1))
    lower, upper = np.partition(means, [k - 1, REPLICATES - k])[[k - 1, REPLICATES - k]]
    return Interval(len(values), fsum(values) / len(values), float(lower), float(upper))


def of_difference(scores: Mapping[str, float], baseline: Mapping[str, float]) -> Interval | None:
    """The interval of the mean difference, scores less baseline, over the questions in both; None without any. Its
    p-value is that of the two-sided paired randomization test (Smucker, Allan and Carterette 2007): were both the same,
    each question's difference could as well have the other sign. (1 + replicates at least as far from 0) / (1 + B), as
    Phipson and Smyth (2010) have it."""
    differences = {question: scores[question] - baseline[question] for question in scores.keys() & baseline.keys()}
    if not differences:
        return None
    found = of_mean(differences)
    values = np.array([differences[question] for question in sorted(differences)])
    random = np.random.default_rng([SEED, 1])
    as_far = 0
    for count in _parts(len(values)):
        signs = random.integers(2, size=(count, len(values))) * 2 - 1
        # Sums of floating-point numbers: what differs by less than 1e-9 is the same.
        as_far += int((np.abs((signs * values).mean(axis=1)) >= abs(found.estimate) - 1e-9).sum())
    return Interval(**{**asdict(found), "p_value": (1 + as_far) / (1 + REPLICATES)})


def scores_of(engine: Engine, evaluation_id: str) -> Scores:
    """The scores of an evaluation, by the judgments of today."""
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    sql = f"select metric, query_id, score from {engine.table('eval_score')} where evaluation_id = ?"
    for metric, query_id, score in engine.query(sql, [evaluation_id]):
        scores[metric][query_id] = float(score)
    return scores


def measure_run(store: VectorStore, run_id: str) -> dict[str, float]:
    """Stores the intervals of the evaluations that a run has made, and of their differences from the latest evaluation
    of each other space that was asked alike. The mean of each metric over all the run's questions."""
    engine = store.engine
    sql = f"select evaluation_id from {engine.table('evaluation')} where run_id = ? order by evaluation_id"
    found = []
    all_scores: dict[str, list[float]] = defaultdict(list)
    for (evaluation_id,) in engine.query(sql, [run_id]):
        scores = scores_of(engine, evaluation_id)
        for metric, by_question in scores.items():
            all_scores[metric] += by_question.values()
            found.append(EvaluationInterval.create_new(evaluation_id, None, metric, **asdict(of_mean(by_question))))
        for baseline_id in _asked_alike(engine, evaluation_id):
            baseline = scores_of(engine, baseline_id)
            for metric in scores.keys() & baseline.keys():
                if compared := of_difference(scores[metric], baseline[metric]):
                    found.append(EvaluationInterval.create_new(evaluation_id, baseline_id, metric, **asdict(compared)))
    store.save_evaluation_intervals(found)
    return {metric: fsum(values) / len(values) for metric, values in sorted(all_scores.items())}


def _asked_alike(engine: Engine, evaluation_id: str) -> list[str]:
    """The latest evaluation of each other space with the same questions, policy, filters and number of hits."""
    evaluation = engine.table("evaluation")
    rows = engine.query(
        f"select other.embedding_space_id, other.evaluation_id from {evaluation} as one"
        f" inner join {evaluation} as other on other.query_set = one.query_set and other.top_k = one.top_k"
        " and coalesce(other.asked_policy_json, '') = coalesce(one.asked_policy_json, '')"
        " and coalesce(other.filters_json, '') = coalesce(one.filters_json, '')"
        " and other.embedding_space_id <> one.embedding_space_id"
        " where one.evaluation_id = ? order by other.evaluated_utc, other.evaluation_id",
        [evaluation_id],
    )
    return list(dict(rows).values())


def _parts(size: int) -> Iterator[int]:
    """The replicates in numbers that fit into memory, with so many questions each."""
    most, left = max(1, _SCORES_AT_ONCE // size), REPLICATES
    while left:
        yield min(most, left)
        left -= min(most, left)
