"""The measures equal those of other people's programs, or their definition."""

import math

import ir_measures
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ir_measures import RR, Qrel, R, ScoredDoc, nDCG

from vector.measures import (
    distinct,
    jaccard,
    mean_rank_shift,
    means,
    ndcg_at,
    overlap_at,
    rank_biased_overlap,
    recall_at,
    reciprocal_rank,
)

ids = st.sampled_from([f"s{number}" for number in range(30)])
rankings = st.lists(ids, max_size=25, unique=True)
judged = st.dictionaries(ids, st.integers(0, 4), min_size=1, max_size=15).filter(lambda grades: any(grades.values()))


@given(rankings.filter(bool), judged)
def test_equal_to_trec_eval(ranking, judgments):
    qrels = [Qrel("q", each, grade) for each, grade in judgments.items()]
    run = [ScoredDoc("q", each, -float(rank)) for rank, each in enumerate(ranking)]
    expected = ir_measures.calc_aggregate([nDCG @ 10, R @ 5, R @ 10, RR], qrels, run)
    assert ndcg_at(ranking, judgments, 10) == pytest.approx(expected[nDCG @ 10], abs=1e-9)
    assert recall_at(ranking, judgments, 5) == pytest.approx(expected[R @ 5], abs=1e-9)
    assert recall_at(ranking, judgments, 10) == pytest.approx(expected[R @ 10], abs=1e-9)
    assert reciprocal_rank(ranking, judgments) == pytest.approx(expected[RR], abs=1e-9)


def test_a_ranking_by_hand():
    judgments = {"a": 3, "b": 2, "c": 1, "d": 0}
    ranking = ["x", "b", "d", "a"]
    assert recall_at(ranking, judgments, 2) == pytest.approx(1 / 3)
    assert recall_at(ranking, judgments, 10) == pytest.approx(2 / 3)
    assert reciprocal_rank(ranking, judgments) == 0.5
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg_at(ranking, judgments, 10) == pytest.approx((2 / math.log2(3) + 3 / math.log2(5)) / ideal)
    assert ndcg_at([], judgments, 10) == recall_at([], judgments, 10) == reciprocal_rank([], judgments) == 0


@pytest.mark.parametrize("judgments", [{}, {"a": 0}])
def test_nothing_relevant_is_undefined(judgments):
    for measure in (recall_at, ndcg_at):
        with pytest.raises(ValueError, match="not defined"):
            measure(["a"], judgments, 10)
    with pytest.raises(ValueError, match="not defined"):
        reciprocal_rank(["a"], judgments)


def rbo_by_definition(a, b, p=0.9):
    """Equation 4 of Webber et al., summed far enough, with the paper's assumption of what was not seen: below its end,
    the shorter list agrees as it did at its end, and below both ends the agreement stays what it was."""
    s, long = sorted((len(a), len(b)))
    if s == 0:
        return 0.0
    common = [len(set(a[:d]) & set(b[:d])) for d in range(long + 1)]

    def agreement(d):
        # Of the d - s ids below the shorter list's end, as many are thought to agree as did above: X_s / s.
        return (common[d] + (common[s] / s * (d - s) if d > s else 0)) / d

    return (1 - p) * sum(agreement(min(d, long)) * p ** (d - 1) for d in range(1, 2000))


@given(rankings, rankings)
@example(["a", "b"], ["b", "a"])
@example(["a"], ["a", "b", "c"])
@example(["a"], ["b", "c", "a"])
def test_rank_biased_overlap_is_its_definition(a, b):
    if a or b:
        assert rank_biased_overlap(a, b) == pytest.approx(rbo_by_definition(a, b), abs=1e-9)
        assert rank_biased_overlap(b, a) == pytest.approx(rank_biased_overlap(a, b))
        assert -1e-9 <= rank_biased_overlap(a, b) <= 1 + 1e-9


@given(rankings.filter(bool))
def test_equal_rankings_agree_in_full(ranking):
    assert rank_biased_overlap(ranking, ranking) == pytest.approx(1)
    assert (overlap_at(ranking, ranking, 10), jaccard(ranking, ranking), mean_rank_shift(ranking, ranking)) == (1, 1, 0)
    others = [f"other {each}" for each in ranking]
    assert rank_biased_overlap(ranking, others) == overlap_at(ranking, others, 10) == jaccard(ranking, others) == 0
    assert mean_rank_shift(ranking, others) is None


def test_two_rankings_by_hand():
    a, b = ["a", "b", "c", "d"], ["b", "a", "x"]
    assert overlap_at(a, b, 2) == 1
    assert overlap_at(a, b, 1) == 0
    assert overlap_at(a, b, 10) == 0.5
    assert jaccard(a, b) == 2 / 5
    assert mean_rank_shift(a, b) == 1
    assert [measure([], []) for measure in (jaccard, mean_rank_shift, rank_biased_overlap)] == [None] * 3
    assert overlap_at([], [], 10) is None
    assert overlap_at([], ["a"], 10) == jaccard([], ["a"]) == rank_biased_overlap([], ["a"]) == 0


def test_means_leave_out_what_is_not_defined():
    assert means([{"x": 1.0, "y": None}, {"x": 3.0, "y": 4.0}]) == {"x": 2.0, "y": 4.0}
    assert means([{"y": None}]) == {"y": None}
    assert means([]) == {}


def test_distinct_keeps_the_first():
    assert distinct(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]
