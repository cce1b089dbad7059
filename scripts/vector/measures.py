"""Measures of a ranking against judgments, and of two rankings against each other. Plain functions over lists of ids.

A ranking is a list of distinct ids, best first. Judgments map ids to a grade; an id that is not judged, or judged 0, is
not relevant. Names are those of ir-measures (https://ir-measur.es).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

PERSISTENCE = 0.9


def distinct(ids: Iterable[str]) -> list[str]:
    """The ids in their order, each once, where it came first."""
    return list(dict.fromkeys(ids))


def recall_at(ranking: Sequence[str], judgments: Mapping[str, int], k: int) -> float:
    """R@k: the share of the relevant ids that the first k hold (Manning, Raghavan and Schütze, Introduction to
    Information Retrieval, 2008, section 8.3). Raises ValueError when nothing is relevant."""
    relevant = _relevant(judgments)
    return len(relevant.intersection(ranking[:k])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], judgments: Mapping[str, int]) -> float:
    """RR: 1 / the rank of the first relevant id, 0 where there is none; its mean over questions is MRR (Voorhees, The
    TREC-8 Question Answering Track Report, 1999). Raises ValueError when nothing is relevant."""
    relevant = _relevant(judgments)
    return next((1 / rank for rank, each in enumerate(ranking, 1) if each in relevant), 0.0)


def ndcg_at(ranking: Sequence[str], judgments: Mapping[str, int], k: int) -> float:
    """nDCG@k: the sum over the first k of grade / log2(rank + 1), by that of the best possible ranking (Järvelin and
    Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4), 2002).

    The gain is the grade itself, as in trec_eval's ndcg_cut, not 2^grade - 1. Raises ValueError when nothing is
    relevant.
    """
    best = sorted((judgments[each] for each in _relevant(judgments)), reverse=True)
    return _dcg([max(judgments.get(each, 0), 0) for each in ranking[:k]]) / _dcg(best[:k])


def overlap_at(a: Sequence[str], b: Sequence[str], k: int) -> float | None:
    """The share of the first k that both rankings hold, by k, or by the longer one where both are shorter than k. None
    where both are empty."""
    length = min(k, max(len(a), len(b)))
    return len(set(a[:k]).intersection(b[:k])) / length if length else None


def jaccard(a: Sequence[str], b: Sequence[str]) -> float | None:
    """The ids that both rankings hold, by those that either does (Jaccard, 1912). None where both are empty."""
    either = len(set(a).union(b))
    return len(set(a).intersection(b)) / either if either else None


def rank_biased_overlap(a: Sequence[str], b: Sequence[str], p: float = PERSISTENCE) -> float | None:
    """RBO_EXT, for rankings of any two lengths: equation 32 of Webber, Moffat and Zobel, A similarity measure for
    indefinite rankings, ACM TOIS 28(4), 2010.

    It assumes that what was not seen agrees as what was seen does. With p = 0.9, the first 10 ranks carry 86% of the
    weight. 1 for equal rankings, 0 for those without a common id, None where both are empty.
    """
    short, long = sorted((a, b), key=len)
    s, l = len(short), len(long)  # noqa: E741, as in the paper
    if l == 0:
        return None
    if s == 0:
        return 0.0
    # X_d: how many ids the first d of both share.
    overlap = [len(set(short[:d]).intersection(long[:d])) for d in range(l + 1)]
    seen = sum(overlap[d] / d * p**d for d in range(1, l + 1))
    assumed = sum(overlap[s] * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * (seen + assumed) + ((overlap[l] - overlap[s]) / l + overlap[s] / s) * p**l


def mean_rank_shift(a: Sequence[str], b: Sequence[str]) -> float | None:
    """The mean absolute difference of ranks, over the ids that both rankings hold; None where they share none."""
    ranks = {each: rank for rank, each in enumerate(b)}
    shifts = [abs(rank - ranks[each]) for rank, each in enumerate(a) if each in ranks]
    return sum(shifts) / len(shifts) if shifts else None


def means(rows: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    """The mean of each measure over the rows that have it; None where none has."""
    rows = list(rows)
    names = distinct(name for row in rows for name in row)
    return {name: _mean([row[name] for row in rows if row.get(name) is not None]) for name in names}


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _relevant(judgments: Mapping[str, int]) -> set[str]:
    relevant = {each for each, grade in judgments.items() if grade > 0}
    if not relevant:
        raise ValueError("no judgment is relevant: the measure is not defined")
    return relevant


def _dcg(grades: Sequence[int]) -> float:
    return math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))
