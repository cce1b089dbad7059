"""The marts that compare spaces against definitions in Python, numpy over the same draws, and every permutation."""

import itertools
import json
import math

import numpy as np
import pytest
from evaluation import EXACT, METRICS, REPLICATES, named, rank_biased_overlap, resamples, scored
from hypothesis import given, settings
from hypothesis import strategies as st

# Each example fills the log and reads the views.
some = settings(max_examples=25, deadline=None)

# Drift


def test_overlap_is_that_of_its_definitions(warehouse, chunks):
    hits = st.lists(st.sampled_from(chunks), unique=True, max_size=len(chunks))

    @some
    @given(st.lists(st.tuples(hits, hits), min_size=1, max_size=20))
    def is_that(cases):
        first, second = (named(runs) for runs in zip(*cases, strict=True))
        warehouse.judge({query: {} for query in first})
        warehouse.log(0, first)
        warehouse.log(1, second)
        _assert_drift(warehouse, first, second)

    is_that()


def test_overlap_of_long_rankings(warehouse):
    random = np.random.default_rng(7)
    pool = sorted(warehouse.sources)
    first, second = (
        {f"q{i}": random.permutation(pool)[: random.integers(1, 300)].tolist() for i in range(30)} for _ in range(2)
    )
    warehouse.judge({query: {} for query in first})
    warehouse.log(0, first)
    warehouse.log(1, second)
    _assert_drift(warehouse, first, second)


def _assert_drift(warehouse, first, second):
    given = warehouse.records("select * from space_drift where space_key_a = 'first'")
    assert sorted(row["query_id"] for row in given) == sorted(first)
    for row in given:
        query = row["query_id"]
        expected = _overlap(warehouse.ranking(first[query]), warehouse.ranking(second[query]))
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=EXACT)
        for side, run in (("a", first[query]), ("b", second[query])):
            scores = [1 - rank / 100 for rank in range(1, len(run) + 1)] or [None]
            assert row[f"highest_score_{side}"] == scores[0]
            assert row[f"lowest_score_{side}"] == scores[-1]
            assert row[f"mean_score_{side}"] == (pytest.approx(np.mean(scores)) if run else None)
    # The other way round it is the same.
    symmetric = "jaccard, rank_biased_overlap, overlap_at_10, mean_rank_shift"
    sides = [
        warehouse.rows(f"select {symmetric} from space_drift where space_key_a = ? order by query_id", key)
        for key in ("first", "second")
    ]
    flat = [[math.nan if value is None else value for row in side for value in row] for side in sides]
    assert flat[0] == pytest.approx(flat[1], abs=EXACT, nan_ok=True)


def _overlap(first, second):
    common, longer = set(first) & set(second), max(len(first), len(second))
    return {
        "common_source_count": len(common),
        "overlap_at_10": len(set(first[:10]) & set(second[:10])) / min(longer, 10) if longer else None,
        "jaccard": len(common) / len({*first, *second}) if longer else None,
        "rank_biased_overlap": rank_biased_overlap(first, second, 0.9) if longer else None,
        "mean_rank_shift": np.mean([abs(first.index(each) - second.index(each)) for each in common])
        if common
        else None,
    }


# Comparison


def test_a_comparison_is_that_of_numpy_over_the_same_draws(warehouse, chunks):
    a = scored(warehouse, chunks, query_count=36)
    b = scored(warehouse, chunks, query_count=36, space=1, seed=2, keep=True)
    draws, signs = (np.array(each) for each in resamples(36))
    for metric in METRICS:
        differences = b[metric] - a[metric]
        means = np.sort(differences[draws].mean(axis=1))
        turned = np.abs((signs * differences).mean(axis=1)) >= abs(differences.mean()) - EXACT
        names = "mean_a, mean_b, mean_difference, ci_lower, ci_upper, p_value, win_count, loss_count, tie_count"
        (row,) = warehouse.rows(
            f"select {names} from space_comparison where space_key_a = 'first' and metric = ?", metric
        )
        expected = (
            a[metric].mean(), b[metric].mean(), differences.mean(), means[24], means[-25],
            (1 + turned.sum()) / (1 + REPLICATES),
            (differences > EXACT).sum(), (differences < -EXACT).sum(), (np.abs(differences) <= EXACT).sum(),
        )  # fmt: skip
        assert row == pytest.approx(expected, abs=EXACT)


def test_the_p_value_is_about_that_of_every_permutation(warehouse, chunks):
    a = scored(warehouse, chunks, query_count=10)["nDCG@10"]
    b = scored(warehouse, chunks, query_count=10, space=1, seed=2, keep=True)["nDCG@10"]
    signs = np.array(list(itertools.product((1, -1), repeat=10)))
    exact = (np.abs((signs * (b - a)).mean(axis=1)) >= abs((b - a).mean()) - EXACT).mean()
    ((p_value,),) = warehouse.rows(
        "select p_value from space_comparison where space_key_a = 'first' and metric = 'nDCG@10'"
    )
    assert p_value == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize(("query_count", "verdict"), [(36, "B better"), (3, "not distinguishable")])
def test_a_verdict_needs_enough_questions(warehouse, chunks, query_count, verdict):
    """B finds at once what A finds second, for every question."""
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    queries = [f"q{i}" for i in range(query_count)]
    warehouse.judge({query: {relevant: 1} for query in queries})
    warehouse.log(0, {query: [other, chunks[0]] for query in queries})
    warehouse.log(1, {query: [chunks[0], other] for query in queries})
    verdicts = dict(warehouse.rows("select space_key_a, verdict from space_comparison where metric = 'RR'"))
    assert verdicts == {"first": verdict, "second": {"B better": "A better"}.get(verdict, verdict)}
    # Recall is the same.
    assert warehouse.rows("select distinct verdict, p_value from space_comparison where metric = 'R@10'") == [
        ("not distinguishable", 1.0)
    ]


def test_a_comparison_takes_the_latest_searches(warehouse, chunks):
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    warehouse.judge({"q1": {relevant: 1}})
    warehouse.log(0, {"q1": [other]}, day=0)
    warehouse.log(0, {"q1": [chunks[0]]}, day=3)
    warehouse.log(1, {"q1": [other, chunks[0]]}, day=1)
    warehouse.log(1, {"q1": [chunks[0]]}, day=5, policy={"method": "hybrid"})
    warehouse.log(1, {"q1": [chunks[0]]}, day=5, policy={"method": "dense", "min_score": 0.9})
    warehouse.log(1, {"q1": [chunks[0]]}, day=5, top_k=7)
    sql = "select mean_a, mean_b from space_comparison where metric = 'RR' and space_key_a = 'first'"
    assert warehouse.rows(sql) == [(1.0, 0.5)]


@pytest.mark.parametrize("other", [{"min_score": 0.9}, {"rerank": "m:f", "pool": 100}, {"mmr": 0.5, "pool": 100}])
def test_only_what_was_asked_alike_is_compared(warehouse, chunks, other):
    """Each policy with itself; the metric is the space's, and no part of how it was asked."""
    warehouse.judge({"q1": {warehouse.sources[chunks[0]]: 1}})
    plain = {"method": "dense"}
    warehouse.log(0, {"q1": chunks[:2]}, policy={**plain, "distance_metric": "cosine"})
    warehouse.log(1, {"q1": chunks[1:3]}, policy={**plain, **other, "distance_metric": "dot"})
    for mart in ("space_comparison", "space_drift"):
        assert warehouse.rows(f"select * from {mart}") == []
    warehouse.log(0, {"q1": chunks[2:4]}, day=1, policy={**plain, **other, "distance_metric": "cosine"})
    warehouse.log(1, {"q1": chunks[:1]}, day=1, policy={**plain, "distance_metric": "dot"})
    for mart in ("space_comparison", "space_drift"):
        found = warehouse.rows(
            f"select distinct comparison_id, asked_policy_json from {mart} where space_key_a = 'first'"
        )
        assert sorted((json.loads(policy) for _, policy in found), key=len) == [plain, {**plain, **other}]
        assert len({comparison for comparison, _ in found}) == 2
    rows = warehouse.rows(
        "select mean_a, mean_b from space_comparison where metric = 'RR' and space_key_a = 'first' and"
        ' asked_policy_json like \'{"method":"dense"}\''
    )
    assert rows == [(1.0, 1.0)]
