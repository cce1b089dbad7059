"""Orders of found chunks: rankings fused, near repetitions put behind, and how many a source may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Of Cormack, Clarke & Buettcher, who found the choice not to be critical.
RRF_K = 60


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]], k: int = RRF_K) -> dict[str, float]:
    """The score of each id of the rankings (best first, no id twice in one): the sum over them of 1 / (k + rank).

    Best first, ties by id. Cormack, Clarke & Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and
    individual Rank Learning Methods".
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, each in enumerate(ranking, 1):
            scores[each] = scores.get(each, 0.0) + 1 / (k + rank)
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def above_the_mean(score: float, mean: float, greatest: float) -> float:
    """Where a score is on the line from 0, the mean of all scores or less, to 1, the greatest."""
    if score >= greatest:
        return 1.0
    return max(0.0, (score - mean) / (greatest - mean)) if greatest > mean else 0.0


def maximal_marginal_relevance(
    relevance: np.ndarray, vectors: np.ndarray, trade_off: float, count: int
) -> list[tuple[int, float]]:
    """Positions of at most `count` items, in the order in which they are chosen, each with its value: the greatest of
    trade_off x relevance - (1 - trade_off) x its largest cosine with an item chosen before (0 for the first).

    `relevance` has shape (n,), `vectors` (n, dimensions); ties go to the lower position. Carbonell & Goldstein 1998,
    "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries".
    """
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(norms == 0, 1, norms)
    left = np.ones(len(relevance), dtype=bool)
    likeness = np.zeros(len(relevance))
    chosen: list[tuple[int, float]] = []
    while left.any() and len(chosen) < count:
        values = np.where(left, trade_off * relevance - (1 - trade_off) * likeness, -np.inf)
        best = int(values.argmax())
        chosen.append((best, float(values[best])))
        left[best] = False
        cosines = (directions @ directions[best]).astype(np.float64)
        likeness = cosines if len(chosen) == 1 else np.maximum(likeness, cosines)
    return chosen


def scaled(scores: np.ndarray) -> np.ndarray:
    """The scores on a line from 0, the least, to 1, the greatest; all 1 where they are equal."""
    import numpy as np

    if not len(scores) or scores.max() == scores.min():
        return np.ones(len(scores))
    return (scores - scores.min()) / (scores.max() - scores.min())


def first_of_each(ranking: Sequence[str], groups: Mapping[str, Hashable], most: int) -> list[str]:
    """The ranking without the ids that come after `most` others of their group."""
    seen: Counter[Hashable] = Counter()
    kept = []
    for each in ranking:
        seen[groups[each]] += 1
        if seen[groups[each]] <= most:
            kept.append(each)
    return kept
