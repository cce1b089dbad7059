"""Questions that nothing answers: no ranking of theirs is right, so they are in no mean. What can be measured is
whether the score of the best hit tells them from the others, as a `min_score` would have to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import median
from typing import Any

from vector.store import VectorStore


def best_scores(store: VectorStore, run_id: str, without_answer: Collection[str]) -> dict[str, Any]:
    """The scores of the best hits of a run's questions: `with_answer` and `without_answer`, the medians, null where no
    question found anything; `auroc`, as below. `without_answer` are ids of questions."""
    rows = store.engine.query(
        f"select asked.query_id, hit.score from {store.engine.table('eval_retrieval')} as asked"
        f" left join {store.engine.table('retrieval_hit')} as hit"
        " on hit.retrieval_id = asked.retrieval_id and hit.rank = 1 where asked.run_id = ?",
        [run_id],
    )
    # What found nothing is below every score.
    scores: dict[bool, list[float]] = {True: [], False: []}
    for query_id, score in rows:
        scores[query_id not in without_answer].append(float("-inf") if score is None else float(score))
    return {
        "with_answer": _median(scores[True]),
        "without_answer": _median(scores[False]),
        "auroc": auroc(scores[True], scores[False]),
    }


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """The share of pairs of one of each in which the first is higher, ties half: 1 where a threshold parts them, 0.5
    where nothing does (Hanley and McNeil 1982, as the Mann-Whitney statistic). None without a pair."""
    if not higher or not lower:
        return None
    wins = sum((one > other) + (one == other) / 2 for one in higher for other in lower)
    return wins / (len(higher) * len(lower))


def _median(scores: Sequence[float]) -> float | None:
    found = [score for score in scores if score != float("-inf")]
    return median(found) if found else None
