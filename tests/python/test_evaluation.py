"""The marts of evaluation against other implementations: ir-measures, numpy, scipy, and definitions in Python."""

import itertools
import math

import ir_measures
import numpy as np
import pytest
from evaluation import REPLICATES, Warehouse, open_warehouse, rank_biased_overlap, resamples
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, P, R, nDCG
from scipy import stats

METRICS = {str(metric): metric for metric in (nDCG @ 10, RR, P @ 10, R @ 10, R @ 100)}
EXACT = 1e-9
# Each example fills the log and reads the views.
some = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def warehouse(kept_project, tmp_path_factory):
    with open_warehouse(kept_project, tmp_path_factory.mktemp("evaluation") / "warehouse.duckdb") as opened:
        yield opened


@pytest.fixture(scope="module")
def chunks(warehouse):
    """Some chunks of few sources, several of most."""
    sources = ("page:apollo", "page:io", "page:moon", "page:sun", "page:venus", "entity:io", "entity:madrid")
    return [chunk for chunk, source in sorted(warehouse.sources.items()) if source in sources]


# Metrics


def test_metrics_are_those_of_ir_measures(warehouse, chunks):
    sources = sorted({warehouse.sources[chunk] for chunk in chunks}) + ["page:nowhere"]
    hits = st.lists(st.sampled_from(chunks), unique=True, max_size=len(chunks))
    grades = st.dictionaries(st.sampled_from(sources), st.integers(0, 4), max_size=len(sources))

    @some
    @given(st.lists(st.tuples(hits, grades), min_size=1, max_size=20))
    def are_those(cases):
        runs, judgments = zip(*cases, strict=True)
        _judged(warehouse, dict(_named(judgments)))
        warehouse.log(0, dict(_named(runs)))
        _assert_metrics(warehouse, dict(_named(runs)), dict(_named(judgments)))

    are_those()


def test_metrics_of_long_rankings_are_those_of_ir_measures(warehouse):
    """Beyond 100 sources, with more relevant ones than any cutoff."""
    random = np.random.default_rng(6)
    pool, sources = sorted(warehouse.sources), sorted(set(warehouse.sources.values()))
    runs = {f"q{i:03}": random.permutation(pool)[: random.integers(100, 400)].tolist() for i in range(60)}
    judgments = {
        query: {source: int(random.integers(0, 5)) for source in random.permutation(sources)[: random.integers(1, 150)]}
        for query in runs
    }
    _judged(warehouse, judgments)
    warehouse.log(0, runs, top_k=400)

    assert max(len(warehouse.ranking(run)) for run in runs.values()) > 100
    _assert_metrics(warehouse, runs, judgments)


def _assert_metrics(warehouse, runs, judgments):
    judged = {query: grades for query, grades in judgments.items() if max(grades.values(), default=0) > 0}
    ranked = {
        query: {source: float(-rank) for rank, source in enumerate(warehouse.ranking(run))}
        for query, run in runs.items()
    }
    expected = {
        (found.query_id, str(found.measure)): found.value
        for found in ir_measures.iter_calc(METRICS.values(), judged, ranked)
    }
    given = {
        (query, metric): score
        for query, metric, score in warehouse.rows("select query_id, metric, score from eval_score")
    }
    assert given == pytest.approx(expected, abs=EXACT)
    assert len(given) == len(judged) * len(METRICS)
    columns = "recall_at_10, recall_at_100, precision_at_10, reciprocal_rank, ndcg_at_10"
    for query, unjudged, *scores in warehouse.rows(
        f"select query_id, is_unjudged, {columns} from retrieval_quality_query"
    ):
        assert unjudged == (query not in judged)
        assert [score is None for score in scores] == [unjudged] * 5


# Intervals


def test_the_interval_is_that_of_numpy_over_the_same_draws(warehouse, chunks):
    scores = _scored(warehouse, chunks, query_count=36)
    draws, _ = resamples(36)
    for metric in METRICS:
        means = np.sort(scores[metric][np.array(draws)].mean(axis=1))
        (row,) = warehouse.rows(
            "select mean_score, ci_lower, ci_upper, query_count from retrieval_quality where metric = ?", metric
        )
        assert row == pytest.approx((scores[metric].mean(), means[24], means[-25], 36), abs=EXACT)


def test_the_interval_is_about_that_of_scipy(warehouse, chunks):
    scores = _scored(warehouse, chunks, query_count=36)["nDCG@10"]
    interval = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    standard_error = scores.std() / 6
    (ends,) = warehouse.rows("select ci_lower, ci_upper from retrieval_quality where metric = 'nDCG@10'")
    assert standard_error > 0.01
    # The ends of 1,000 replicates vary by about a tenth of the standard error.
    assert ends == pytest.approx(tuple(interval), abs=0.4 * standard_error)


def test_draws_are_uniform(warehouse):
    _judged(warehouse, {f"q{i}": {} for i in range(50)})
    draws = np.array(warehouse.rows("select draw % 37, sign from eval_resample"))
    assert len(draws) == REPLICATES * 50
    assert stats.chisquare(np.bincount(draws[:, 0], minlength=37)).pvalue > 0.01
    assert stats.binomtest(int((draws[:, 1] == 1).sum()), len(draws)).pvalue > 0.01


def test_the_worst_queries_come_first(warehouse, chunks):
    scores = _scored(warehouse, chunks, query_count=36)["RR"]
    names = [f"q{i:03}" for i in range(36)]
    worst = sorted(zip(scores, names, strict=True))[:5]
    ((text,),) = warehouse.rows("select worst_queries from retrieval_quality where metric = 'RR'")
    assert text == ", ".join(f"{name} {score:.3f}" for score, name in worst)


# Evaluations


def test_an_evaluation_counts_what_it_left_out(warehouse, chunks):
    source = warehouse.sources[chunks[0]]
    _judged(warehouse, {"q1": {source: 1}, "q2": {source: 0}, "q3": {}, "q4": {source: 2}, "q5": {source: 1}})
    warehouse.log(0, {query: chunks[:5] for query in ("q1", "q2", "q3", "q4")})
    counts = "query_count, unjudged_query_count, missing_query_count"
    assert warehouse.rows(f"select distinct {counts} from retrieval_quality") == [(2, 2, 1)]


def test_a_question_worded_anew_has_no_old_searches(warehouse, chunks):
    _judged(warehouse, {"q1": {warehouse.sources[chunks[0]]: 1}})
    warehouse.log(0, {"q1": chunks[:5]})
    assert len(warehouse.rows("from retrieval_quality")) == len(METRICS)
    warehouse.connection.execute("update eval_query set query_text = 'worded anew'")
    assert warehouse.rows("from retrieval_quality") == []


def test_the_trend_compares_question_by_question(warehouse, chunks):
    """The second evaluation asks one more question, badly; those in both are better."""
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    _judged(warehouse, {"q1": {relevant: 1}, "q2": {relevant: 1}, "q3": {relevant: 1}})
    warehouse.log(0, {"q1": [other, chunks[0]], "q2": [chunks[0]]}, day=0)
    warehouse.log(0, {"q1": [chunks[0]], "q2": [chunks[0]], "q3": [other]}, day=1)
    names = "mean_score, previous_mean_score, mean_difference, common_query_count, improved_query_count"
    rows = warehouse.rows(
        f"select {names}, worsened_query_count from retrieval_quality_trend where metric = 'RR' order by evaluated_utc"
    )
    assert rows == [(0.75, None, None, 0, 0, 0), (2 / 3, 0.75, 0.25, 2, 1, 0)]


# Drift


def test_overlap_is_that_of_its_definitions(warehouse, chunks):
    hits = st.lists(st.sampled_from(chunks), unique=True, max_size=len(chunks))

    @some
    @given(st.lists(st.tuples(hits, hits), min_size=1, max_size=20))
    def is_that(cases):
        first, second = (dict(_named(runs)) for runs in zip(*cases, strict=True))
        _judged(warehouse, {query: {} for query in first})
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
    _judged(warehouse, {query: {} for query in first})
    warehouse.log(0, first)
    warehouse.log(1, second)
    _assert_drift(warehouse, first, second)


def _assert_drift(warehouse, first, second):
    given = warehouse.records("select * from space_drift where space_key_a = 'hash'")
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
        for key in ("hash", "other")
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
    a = _scored(warehouse, chunks, query_count=36)
    b = _scored(warehouse, chunks, query_count=36, space=1, seed=2, keep=True)
    draws, signs = (np.array(each) for each in resamples(36))
    for metric in METRICS:
        differences = b[metric] - a[metric]
        means = np.sort(differences[draws].mean(axis=1))
        turned = np.abs((signs * differences).mean(axis=1)) >= abs(differences.mean()) - EXACT
        names = "mean_a, mean_b, mean_difference, ci_lower, ci_upper, p_value, win_count, loss_count, tie_count"
        (row,) = warehouse.rows(
            f"select {names} from space_comparison where space_key_a = 'hash' and metric = ?", metric
        )
        expected = (
            a[metric].mean(), b[metric].mean(), differences.mean(), means[24], means[-25],
            (1 + turned.sum()) / (1 + REPLICATES),
            (differences > EXACT).sum(), (differences < -EXACT).sum(), (np.abs(differences) <= EXACT).sum(),
        )  # fmt: skip
        assert row == pytest.approx(expected, abs=EXACT)


def test_the_p_value_is_about_that_of_every_permutation(warehouse, chunks):
    a = _scored(warehouse, chunks, query_count=10)["nDCG@10"]
    b = _scored(warehouse, chunks, query_count=10, space=1, seed=2, keep=True)["nDCG@10"]
    signs = np.array(list(itertools.product((1, -1), repeat=10)))
    exact = (np.abs((signs * (b - a)).mean(axis=1)) >= abs((b - a).mean()) - EXACT).mean()
    ((p_value,),) = warehouse.rows(
        "select p_value from space_comparison where space_key_a = 'hash' and metric = 'nDCG@10'"
    )
    assert p_value == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize(("query_count", "verdict"), [(36, "B better"), (3, "not distinguishable")])
def test_a_verdict_needs_enough_questions(warehouse, chunks, query_count, verdict):
    """B finds at once what A finds second, for every question."""
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    queries = [f"q{i}" for i in range(query_count)]
    _judged(warehouse, {query: {relevant: 1} for query in queries})
    warehouse.log(0, {query: [other, chunks[0]] for query in queries})
    warehouse.log(1, {query: [chunks[0], other] for query in queries})
    verdicts = dict(warehouse.rows("select space_key_a, verdict from space_comparison where metric = 'RR'"))
    assert verdicts == {"hash": verdict, "other": {"B better": "A better"}.get(verdict, verdict)}
    # Recall is the same.
    assert warehouse.rows("select distinct verdict, p_value from space_comparison where metric = 'R@10'") == [
        ("not distinguishable", 1.0)
    ]


def test_a_comparison_takes_the_latest_searches(warehouse, chunks):
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    _judged(warehouse, {"q1": {relevant: 1}})
    warehouse.log(0, {"q1": [other]}, day=0)
    warehouse.log(0, {"q1": [chunks[0]]}, day=3)
    warehouse.log(1, {"q1": [other, chunks[0]]}, day=1)
    warehouse.log(1, {"q1": [chunks[0]]}, day=5, policy={"method": "hybrid"})
    warehouse.log(1, {"q1": [chunks[0]]}, day=5, top_k=7)
    sql = "select mean_a, mean_b from space_comparison where metric = 'RR' and space_key_a = 'hash'"
    assert warehouse.rows(sql) == [(1.0, 0.5)]


def _named(values):
    return ((f"q{i:03}", value) for i, value in enumerate(values))


def _judged(warehouse: Warehouse, judgments):
    warehouse.forget()
    warehouse.judge(judgments)


def _scored(warehouse, chunks, query_count, space=0, seed=1, keep=False):
    """Logs random hits for random judgments and gives each metric's scores, in the order of the questions; with
    `keep`, those judgments and searches that are there stay."""
    random = np.random.default_rng(seed)
    queries = [f"q{i:03}" for i in range(query_count)]
    if not keep:
        sources = sorted({warehouse.sources[chunk] for chunk in chunks})
        _judged(
            warehouse, {q: {str(s): int(random.integers(1, 4)) for s in random.choice(sources, 3)} for q in queries}
        )
    warehouse.log(space, {q: random.permutation(chunks)[: random.integers(1, 20)].tolist() for q in queries})
    key = warehouse.spaces[space].embedding_space_id
    rows = warehouse.rows(
        "select metric, list(score order by eval_score.query_id) from eval_score inner join eval_retrieval using (retrieval_id)"
        " where embedding_space_id = ? group by metric",
        key,
    )
    return {metric: np.array(scores) for metric, scores in rows}
