"""The quality marts against other implementations: ir-measures, numpy and scipy; and what docs/search.md shows."""

import itertools

import ir_measures
import numpy as np
import pytest
from documents import examples
from evaluation import EXACT, METRICS, ask_few, named, open_warehouse, scored
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, P, R, nDCG
from scipy import stats

from vector.evaluation import intervals

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


def test_a_metric_that_looks_deeper_than_the_search_is_left_out(warehouse, chunks):
    warehouse.judge({"q1": {warehouse.sources[chunks[0]]: 1}})
    for top_k in (9, 20):
        warehouse.log(0, {"q1": chunks[:5]}, top_k=top_k)
    rows = warehouse.rows(
        "select top_k, list(metric order by metric) from eval_score inner join eval_retrieval using (retrieval_id)"
        " group by top_k order by top_k"
    )
    assert rows == [(9, ["RR"]), (20, ["P@10", "R@10", "RR", "nDCG@10"])]


# Intervals


def test_the_interval_is_about_that_of_scipy(warehouse, chunks):
    scores = scored(warehouse, chunks, query_count=36)["nDCG@10"]
    interval = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    standard_error = scores.std() / 6
    (row,) = warehouse.rows("select mean_score, ci_lower, ci_upper from retrieval_quality where metric = 'nDCG@10'")
    assert standard_error > 0.01
    assert row[0] == pytest.approx(scores.mean())
    # The ends of 10,000 replicates vary by some hundredths of the standard error.
    assert row[1:] == pytest.approx(tuple(interval), abs=0.15 * standard_error)
    ((replicates, seed),) = warehouse.rows("select distinct replicate_count, seed from evaluation_interval")
    assert (replicates, seed) == (intervals.REPLICATES, intervals.SEED)


def test_the_p_value_is_about_that_of_every_permutation():
    random = np.random.default_rng(5)
    a, b = ({f"q{i}": float(score) for i, score in enumerate(random.random(10))} for _ in range(2))
    differences = np.array([b[query] - a[query] for query in a])
    signs = np.array(list(itertools.product((1, -1), repeat=10)))
    exact = (np.abs((signs * differences).mean(axis=1)) >= abs(differences.mean()) - EXACT).mean()
    found = intervals.of_difference(b, a)
    assert found.p_value == pytest.approx(exact, abs=0.02)
    back = intervals.of_difference(a, b)
    assert (back.estimate, back.p_value) == (pytest.approx(-found.estimate), found.p_value)
    assert found.ci_lower < found.estimate < found.ci_upper


def test_an_interval_does_not_depend_on_how_it_is_cut_or_ordered(monkeypatch):
    scores = {f"q{i}": i / 7 % 1 for i in range(50)}
    whole = intervals.of_mean(scores)
    assert intervals.of_mean(dict(reversed(scores.items()))) == whole
    monkeypatch.setattr(intervals, "_SCORES_AT_ONCE", 50 * 777)
    assert intervals.of_mean(scores) == whole
    alone = intervals.of_mean({"q": 0.5})
    assert (alone.estimate, alone.ci_lower, alone.ci_upper) == (0.5, 0.5, 0.5)


def test_judgments_that_changed_leave_a_mean_without_an_interval(warehouse, chunks):
    scored(warehouse, chunks, query_count=6)
    scored(warehouse, chunks, query_count=6, space=1, seed=2, keep=True)
    counts = "select count(*), count(ci_lower) from retrieval_quality"
    assert warehouse.rows(counts) == [(10, 10)]
    assert warehouse.rows("select count(*) from space_comparison") == [(5,)]
    warehouse.connection.execute("delete from eval_judgment where query_id = 'q000'")
    assert warehouse.rows(counts) == [(10, 0)]
    assert warehouse.rows("from space_comparison") == []


# Two spaces


@pytest.mark.parametrize(("query_count", "verdict"), [(36, "B better"), (3, "not distinguishable")])
def test_a_verdict_needs_enough_questions(warehouse, chunks, query_count, verdict):
    """B finds at once what A finds second, for every question."""
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    queries = [f"q{i}" for i in range(query_count)]
    warehouse.judge({query: {relevant: 1} for query in queries})
    warehouse.evaluate(0, {query: [other, chunks[0]] for query in queries})
    warehouse.evaluate(1, {query: [chunks[0], other] for query in queries}, day=1)
    names = "space_key_a, space_key_b, mean_a, mean_b, mean_difference, win_count, loss_count, tie_count, verdict"
    assert warehouse.rows(f"select {names} from space_comparison where metric = 'RR'") == [
        ("first", "second", 0.5, 1.0, 0.5, query_count, 0, 0, verdict)
    ]
    # Recall is the same.
    assert warehouse.rows("select distinct verdict, p_value from space_comparison where metric = 'R@10'") == [
        ("not distinguishable", 1.0)
    ]


@pytest.mark.parametrize(
    "other",
    [{"policy": {"method": "dense", "mmr": 0.5}}, {"top_k": 7}, {"filters": {"source_type": ["page"]}}],
    ids=["policy", "top_k", "filters"],
)
def test_compared_is_the_latest_evaluation_that_asked_alike(warehouse, chunks, other):
    """The metric is the space's, and no part of how it was asked."""
    relevant = warehouse.sources[chunks[0]]
    wrong = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    warehouse.judge({"q1": {relevant: 1}})
    warehouse.evaluate(0, {"q1": [wrong]}, day=0)
    warehouse.evaluate(0, {"q1": [wrong, chunks[0]]}, day=1, policy={"method": "dense", "distance_metric": "dot"})
    warehouse.evaluate(0, {"q1": [chunks[0]]}, day=2, **other)
    warehouse.evaluate(1, {"q1": [chunks[0]]}, day=3, policy={"method": "dense", "distance_metric": "cosine"})
    assert warehouse.rows("select mean_a, mean_b from space_comparison where metric = 'RR'") == [(0.5, 1.0)]


# Evaluations


def test_a_question_worded_anew_has_no_old_searches(warehouse, chunks):
    warehouse.judge({"q1": {warehouse.sources[chunks[0]]: 1}})
    warehouse.log(0, {"q1": chunks[:5]})
    assert len(warehouse.rows("from retrieval_quality")) == len(METRICS)
    warehouse.connection.execute("update eval_query set query_text = 'worded anew'")
    assert warehouse.rows("from retrieval_quality") == []


def test_policies_of_one_day_are_evaluations_of_their_own(warehouse, chunks):
    relevant = warehouse.sources[chunks[0]]
    other = next(chunk for chunk in chunks if warehouse.sources[chunk] != relevant)
    warehouse.judge({"q1": {relevant: 1}})
    for policy, hits in (({"method": "dense"}, [chunks[0]]), ({"method": "dense", "min_score": 0.9}, [other])):
        warehouse.log(0, {"q1": hits}, policy=policy)
    rows = warehouse.rows(
        "select asked_policy_json, cast(evaluated_date as varchar), mean_score from retrieval_quality"
        " inner join evaluation using (evaluation_id) where metric = 'RR' order by asked_policy_json desc"
    )
    assert rows == [
        ('{"method":"dense"}', "2026-05-01", 1.0), ('{"method":"dense","min_score":0.9}', "2026-05-01", 0.0),
    ]  # fmt: skip


# The document


@pytest.fixture(scope="module")
def demo(kept_project, tmp_path_factory):
    """The demo's questions, asked twice in one space and once in another, and answered at random."""
    with open_warehouse(kept_project, tmp_path_factory.mktemp("demo"), ("minilm", "minilm-32")) as opened:
        random, pool = np.random.default_rng(3), sorted(opened.sources)
        ask_few(opened.connection)
        queries = [query for (query,) in opened.rows("select query_id from eval_query")]
        for space, day in ((0, 0), (0, 1), (1, 1)):
            opened.evaluate(space, {query: random.permutation(pool)[:100].tolist() for query in queries}, day=day)
        yield opened


@pytest.mark.parametrize(("question", "sql", "header"), examples("search.md"))
def test_an_example_of_the_document_runs(demo, question, sql, header):
    rows = demo.records(sql)
    assert rows
    assert list(rows[0]) == header.split(" | ")
