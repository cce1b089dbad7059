"""The quality marts against other implementations: ir-measures, numpy and scipy; and what docs/evaluation.md shows."""

import ir_measures
import numpy as np
import pytest
from documents import examples
from evaluation import EXACT, METRICS, REPLICATES, named, open_warehouse, resamples, scored
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, P, R, nDCG
from scipy import stats

MEASURES = (nDCG @ 10, RR, P @ 10, R @ 10, R @ 100)
# Each example fills the log and reads the views.
some = settings(max_examples=25, deadline=None)


# Metrics


def test_metrics_are_those_of_ir_measures(warehouse, chunks):
    sources = sorted({warehouse.sources[chunk] for chunk in chunks}) + ["page:nowhere"]
    hits = st.lists(st.sampled_from(chunks), unique=True, max_size=len(chunks))
    grades = st.dictionaries(st.sampled_from(sources), st.integers(0, 4), max_size=len(sources))

    @some
    @given(st.lists(st.tuples(hits, grades), min_size=1, max_size=20))
    def are_those(cases):
        runs, judgments = zip(*cases, strict=True)
        warehouse.judge(named(judgments))
        warehouse.log(0, named(runs))
        _assert_metrics(warehouse, named(runs), named(judgments))

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
    warehouse.judge(judgments)
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
        (found.query_id, str(found.measure)): found.value for found in ir_measures.iter_calc(MEASURES, judged, ranked)
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
    scores = scored(warehouse, chunks, query_count=36)
    draws, _ = resamples(36)
    for metric in METRICS:
        means = np.sort(scores[metric][np.array(draws)].mean(axis=1))
        (row,) = warehouse.rows(
            "select mean_score, ci_lower, ci_upper, query_count from retrieval_quality where metric = ?", metric
        )
        assert row == pytest.approx((scores[metric].mean(), means[24], means[-25], 36), abs=EXACT)


def test_the_interval_is_about_that_of_scipy(warehouse, chunks):
    scores = scored(warehouse, chunks, query_count=36)["nDCG@10"]
    interval = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    standard_error = scores.std() / 6
    (ends,) = warehouse.rows("select ci_lower, ci_upper from retrieval_quality where metric = 'nDCG@10'")
    assert standard_error > 0.01
    # The ends of 1,000 replicates vary by about a tenth of the standard error.
    assert ends == pytest.approx(tuple(interval), abs=0.4 * standard_error)


def test_draws_are_uniform(warehouse):
    warehouse.judge({f"q{i}": {} for i in range(50)})
    draws = np.array(warehouse.rows("select draw % 37, sign from eval_resample"))
    assert len(draws) == REPLICATES * 50
    assert stats.chisquare(np.bincount(draws[:, 0], minlength=37)).pvalue > 0.01
    assert stats.binomtest(int((draws[:, 1] == 1).sum()), len(draws)).pvalue > 0.01


def test_the_worst_queries_come_first(warehouse, chunks):
    scores = scored(warehouse, chunks, query_count=36)["RR"]
    names = [f"q{i:03}" for i in range(36)]
    worst = sorted(zip(scores, names, strict=True))[:5]
    ((text,),) = warehouse.rows("select worst_queries from retrieval_quality where metric = 'RR'")
    assert text == ", ".join(f"{name} {score:.3f}" for score, name in worst)


# Evaluations


def test_an_evaluation_counts_what_it_left_out(warehouse, chunks):
    source = warehouse.sources[chunks[0]]
    warehouse.judge({"q1": {source: 1}, "q2": {source: 0}, "q3": {}, "q4": {source: 2}, "q5": {source: 1}})
    warehouse.log(0, {query: chunks[:5] for query in ("q1", "q2", "q3", "q4")})
    counts = "query_count, unjudged_query_count, missing_query_count"
    assert warehouse.rows(f"select distinct {counts} from retrieval_quality") == [(2, 2, 1)]


def test_a_question_worded_anew_has_no_old_searches(warehouse, chunks):
    warehouse.judge({"q1": {warehouse.sources[chunks[0]]: 1}})
    warehouse.log(0, {"q1": chunks[:5]})
    assert len(warehouse.rows("from retrieval_quality")) == len(METRICS)
    warehouse.connection.execute("update eval_query set query_text = 'worded anew'")
    assert warehouse.rows("from retrieval_quality") == []


def test_the_trend_compares_question_by_question(warehouse, chunks):
    """The second evaluation asks one more question, badly; those in both are better."""
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    warehouse.judge({"q1": {relevant: 1}, "q2": {relevant: 1}, "q3": {relevant: 1}})
    warehouse.log(0, {"q1": [other, chunks[0]], "q2": [chunks[0]]}, day=0)
    warehouse.log(0, {"q1": [chunks[0]], "q2": [chunks[0]], "q3": [other]}, day=1)
    names = "mean_score, previous_mean_score, mean_difference, common_query_count, improved_query_count"
    rows = warehouse.rows(
        f"select {names}, worsened_query_count from retrieval_quality_trend where metric = 'RR' order by evaluated_utc"
    )
    assert rows == [(0.75, None, None, 0, 0, 0), (2 / 3, 0.75, 0.25, 2, 1, 0)]


def test_policies_of_one_run_are_evaluations_of_their_own(warehouse, chunks):
    """And so are those of one day: each has its scores, and the trend goes from each to the next of its policy."""
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    warehouse.judge({"q1": {relevant: 1}})
    plain, special = {"method": "dense"}, {"method": "dense", "min_score": 0.9}
    answers = {0: ([chunks[0]], [other]), 1: ([other, chunks[0]], [chunks[0]])}
    for day, found in answers.items():
        for policy, hits in zip((plain, special), found, strict=True):
            warehouse.log(0, {"q1": hits}, day=day, policy=policy)
    rows = warehouse.rows(
        "select policy_json, asked_policy_json, cast(evaluated_date as varchar), mean_score, count(*) over ()"
        " from retrieval_quality where metric = 'RR' order by evaluated_utc, policy_json desc"
    )
    dense, least = '{"method":"dense"}', '{"method":"dense","min_score":0.9}'
    assert rows == [
        (dense, dense, "2026-05-01", 1.0, 4), (least, least, "2026-05-01", 0.0, 4),
        (dense, dense, "2026-05-02", 0.5, 4), (least, least, "2026-05-02", 1.0, 4),
    ]  # fmt: skip
    trend = warehouse.rows(
        "select asked_policy_json, previous_mean_score, mean_score from retrieval_quality_trend"
        " where metric = 'RR' and previous_evaluation_id is not null order by policy_json desc"
    )
    assert trend == [(dense, 1.0, 0.5), (least, 0.0, 1.0)]


# The document


@pytest.fixture(scope="module")
def demo(kept_project, tmp_path_factory):
    """The demo's questions, asked twice in one space and once in another, and answered at random."""
    with open_warehouse(kept_project, tmp_path_factory.mktemp("demo"), ("minilm", "minilm-32")) as opened:
        random, pool = np.random.default_rng(3), sorted(opened.sources)
        queries = [query for (query,) in opened.rows("select query_id from eval_query")]
        for space, day in ((0, 0), (0, 1), (1, 1)):
            opened.log(space, {query: random.permutation(pool)[:100].tolist() for query in queries}, day=day)
        yield opened


@pytest.mark.parametrize(("question", "sql", "header"), examples("evaluation.md"))
def test_an_example_of_the_document_runs(demo, question, sql, header):
    rows = demo.records(sql)
    assert rows
    assert list(rows[0]) == header.split(" | ")
