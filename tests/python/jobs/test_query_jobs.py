"""RETRIEVE_TEST and DRIFT_TEST: what is stored is what the logged searches say, by another program's reckoning."""

import sys
from collections import defaultdict
from types import SimpleNamespace

import hypothesis
import ir_measures
import pytest
from evaluation import ask_few
from hypothesis import strategies as st
from ir_measures import RR, P, Qrel, R, ScoredDoc, nDCG
from job_support import context_of, run_job
from scipy import stats

from vector.contracts.models import JobStatus
from vector.embedding import embed_space
from vector.errors import ConfigurationError, InvalidRecord
from vector.evaluation.evaluate import evaluate
from vector.evaluation.intervals import scores_of
from vector.evaluation.no_answer import auroc
from vector.jobs.active_jobs import is_permanent
from vector.jobs.handlers import drift as drift_test
from vector.jobs.handlers import retrieve as retrieve_test
from vector.jobs.handlers.drift import jaccard, overlap
from vector.jobs.queue import JobQueue
from vector.jobs.worker import Worker, WorkerOptions
from vector.search.policy import SearchPolicy
from vector.store import VectorStore


@pytest.fixture
def answerable(store):
    """A question that is a chunk's text, which a hash finds at once, in a set of its own with two others."""
    text, source_id = store.engine.query(
        "select content, source_id from chunk where source_id = 'page:apollo' order by chunk_id limit 1"
    )[0]
    store.engine.execute(
        "insert into eval_query (query_id, query_text, query_set)"
        " values ('t1', ?, 'tiny'), ('t2', 'a question', 'tiny'), ('t3', 'unjudged', 'tiny')",
        [text],
    )
    store.engine.execute(
        "insert into eval_judgment values ('t1', ?, 3), ('t1', 'page:none', 1), ('t2', 'page:none', 2)", [source_id]
    )
    return source_id


@pytest.fixture
def other_space(store):
    """A second space over the same chunks."""
    space = store.get_or_create_embedding_space("hash", "hash", 16, space_key="other")
    embed_space(store, space)
    return space


def retrieve(store, **given):
    return run_job(store, retrieve_test, "RETRIEVE_TEST", {"space_key": "hash", **given})


def drift(store, **given):
    return run_job(store, drift_test, "DRIFT_TEST", given)


def logged(store, run_id, space_key="hash"):
    """The hits that a run logged in a space: source ids by question, best first, doubles included."""
    rows = store.engine.query(
        "select r.eval_query_id, c.source_id from retrieval r join retrieval_hit h using (retrieval_id)"
        " join chunk c using (chunk_id) join embedding_space s using (embedding_space_id)"
        " where r.run_id = ? and s.space_key = ? order by r.eval_query_id, h.rank",
        [run_id, space_key],
    )
    found = defaultdict(list)
    for query_id, source_id in rows:
        found[query_id].append(source_id)
    return found


@pytest.mark.parametrize("per_source", [1, None])
@pytest.mark.long
def test_the_stored_metrics_are_those_of_the_logged_searches(store, per_source):
    ask_few(store.engine)
    store.engine.execute("update eval_judgment set relevance = 0 where query_id = 'q36'")
    given = {"space_key": "hash", "query_set": "demo", "per_source": per_source}
    context = context_of(store, "RETRIEVE_TEST", retrieve_test.validate(given))
    metrics = retrieve_test.run(context)

    found = logged(store, context.run.run_id)
    asked = store.engine.query("select query_id, source_id, relevance from eval_judgment")
    answered = {query_id for query_id, _, relevance in asked if relevance > 0}
    judged = [row for row in asked if row[0] in answered]
    qrels = [Qrel(query_id, source_id, relevance) for query_id, source_id, relevance in judged]
    run = [
        ScoredDoc(query_id, source_id, -float(hits.index(source_id)))
        for query_id, hits in found.items()
        for source_id in set(hits)
    ]
    names = {"P@10": P @ 10, "R@10": R @ 10, "R@100": R @ 100, "nDCG@10": nDCG @ 10, "RR": RR}
    expected = ir_measures.calc_aggregate(names.values(), qrels, run)
    assert metrics["mean"] == {name: pytest.approx(expected[measure]) for name, measure in names.items()}
    ((evaluation_id,),) = store.engine.query(
        "select evaluation_id from evaluation where run_id = ? and missing_query_count = 0", [context.run.run_id]
    )
    scores = scores_of(store.engine, evaluation_id)
    for each in ir_measures.iter_calc(names.values(), qrels, run):
        assert scores[str(each.measure)][each.query_id] == pytest.approx(each.value)
    assert metrics["query_count"] == len(answered) == len(scores["RR"])
    assert metrics["queries_without_answer"] == len({row[0] for row in asked} - answered) == 1
    assert set(found) == {row[0] for row in asked}
    stored = store.engine.query("select metric, estimate, ci_lower <= estimate, ci_upper >= estimate"
                                " from evaluation_interval where evaluation_id = ?", [evaluation_id])  # fmt: skip
    assert sorted(stored) == [(name, pytest.approx(mean), True, True) for name, mean in sorted(metrics["mean"].items())]
    of_several_chunks = [len(set(hits)) < len(hits) for hits in found.values()]
    assert any(of_several_chunks) is (per_source is None), "some source is found by several chunks, where it may be"
    assert metrics["mean"]["R@100"] > 0
    assert len(context.heartbeats) == len(found)


def test_a_small_set_by_hand(store, answerable):
    metrics = retrieve(store, query_set="tiny", top_k=1)
    assert metrics["mean"] == {"RR": 0.5}, "nothing deeper"
    assert (metrics["query_count"], metrics["queries_without_judgments"]) == (2, 1)
    deeper = retrieve(store, query_set="tiny", top_k=10)
    assert deeper["mean"] == {"P@10": 0.05, "R@10": 0.25, "RR": 0.5, "nDCG@10": pytest.approx(0.413, abs=1e-3)}
    filtered = retrieve(store, query_set="tiny", top_k=1, source_types=["event"])
    assert filtered["mean"]["RR"] == 0.0
    logged_filters = {each.filters["source_type"][0] for each in store.list_retrievals(limit=2)}
    assert logged_filters == {"event"}
    assert metrics["best_score"] is None, "no question was judged to have no answer"


def test_questions_without_an_answer_are_asked_and_in_no_mean(store, answerable):
    """t3 was judged to have no answer, t4 is not judged at all."""
    store.engine.execute("insert into eval_query (query_id, query_text, query_set) values ('t4', 'unseen', 'tiny')")
    before = retrieve(store, query_set="tiny")
    store.engine.execute("insert into eval_judgment values ('t3', 'page:apollo', 0)")
    metrics = retrieve(store, query_set="tiny")
    assert metrics["mean"] == before["mean"]
    counts = [metrics[f"quer{name}"] for name in ("y_count", "ies_without_answer", "ies_without_judgments")]
    assert counts == [2, 1, 1]
    (best,) = store.engine.query(
        "select max(score) filter (eval_query_id = 't1'), max(score) filter (eval_query_id = 't2'),"
        " max(score) filter (eval_query_id = 't3') from retrieval join retrieval_hit using (retrieval_id)"
        " where run_id = (select max_by(run_id, created_utc) from retrieval)"
    )
    assert metrics["best_score"]["with_answer"] == pytest.approx((best[0] + best[1]) / 2)
    assert metrics["best_score"]["without_answer"] == pytest.approx(best[2])
    assert metrics["best_score"]["auroc"] == sum(score > best[2] for score in best[:2]) / 2
    ((asked, left_out),) = store.engine.query(
        "select query_count, unjudged_query_count from evaluation order by evaluated_utc desc limit 1"
    )
    assert (asked, left_out) == (3, 1)

    none_found = retrieve(store, query_set="tiny", min_score=0.999)["best_score"]
    assert none_found == {"with_answer": pytest.approx(1.0), "without_answer": None, "auroc": 0.75}


@hypothesis.given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
def test_auroc_is_that_of_scipy(higher, lower):
    expected = stats.mannwhitneyu(higher, lower).statistic / (len(higher) * len(lower))
    assert auroc(higher, lower) == pytest.approx(expected)
    assert auroc(lower, higher) == pytest.approx(1 - expected)
    assert auroc([], lower) is auroc(higher, []) is None


@pytest.mark.parametrize(
    "policy", [{}, {"mode": "hybrid"}, {"mmr": 0.5}, {"mode": "hybrid", "mmr": 0.5}], ids=str
)  # fmt: skip
def test_a_hundred_hits_are_a_hundred_sources(store, answerable, policy):
    """However many chunks a source has: else R@100 would depend on the chunking."""
    context = context_of(
        store, "RETRIEVE_TEST", retrieve_test.validate({"space_key": "hash", "query_set": "tiny", **policy})
    )
    assert retrieve_test.run(context)["policy"]["per_source"] == 1
    assert [len(set(hits)) for hits in logged(store, context.run.run_id).values()] == [100, 100]


@pytest.mark.parametrize(("top_k", "metrics"), [(9, 1), (10, 4), (99, 4), (100, 5)])
def test_the_marts_have_no_metric_that_looks_deeper_than_the_search(store, answerable, top_k, metrics):
    retrieve(store, query_set="tiny", top_k=top_k)
    for mart in ("eval_score", "retrieval_quality"):
        shown = {metric for (metric,) in store.engine.query(f"select metric from {mart}")}
        assert shown == set(("RR", "P@10", "R@10", "nDCG@10", "R@100")[:metrics])


def test_a_stopped_test_says_how_far_it_came(store, answerable, monkeypatch):
    class Stopped(Exception):
        pass

    monkeypatch.setattr("vector.jobs.context.JobStopped", Stopped, raising=False)
    given = retrieve_test.validate({"space_key": "hash", "query_set": "tiny"})
    context = context_of(store, "RETRIEVE_TEST", given, stop_after=2)
    with pytest.raises(Stopped, match="after 1 questions"):
        retrieve_test.run(context)
    assert len(logged(store, context.run.run_id)) == 1


def test_what_is_missing_is_named(store, answerable):
    with pytest.raises(ConfigurationError, match="no space is called 'none'; spaces are hash"):
        retrieve(store, space_key="none")
    with pytest.raises(ConfigurationError, match="no question of the query_set 'none'"):
        retrieve(store, query_set="none")
    store.engine.execute("delete from eval_judgment where query_id like 't%'")
    with pytest.raises(ConfigurationError, match="none of the questions has a relevant judgment"):
        retrieve(store, query_set="tiny")
    store.engine.execute("drop view eval_query_input")
    with pytest.raises(ConfigurationError, match="eval_query_input is not built"):
        retrieve(store)


@pytest.mark.parametrize(
    ("job_type", "given"),
    [
        ("RETRIEVE_TEST", {"space_key": "hahs"}), ("RETRIEVE_TEST", {"space_key": "hash", "query_set": "none"}),
        ("RETRIEVE_TEST", {"space_key": "hash", "query_set": "unjudged"}),
        ("DRIFT_TEST", {"run_id_a": "none", "run_id_b": "neither"}), ("EMBED_CHUNKS", {"space_key": "hahs"}),
        ("REEMBED_SPACE", {"space_key": "hahs"}),
        ("CHUNK_SOURCE",
         {"source_id": "n", "source_type": "note", "from": {"text": "a text"}, "policy_version": "none"}),
    ],
)  # fmt: skip
def test_an_input_that_names_nothing_is_tried_once(store, job_type, given):
    """What is misspelled is so at every attempt. A seed that is not built yet may be the next time."""
    store.engine.execute(
        "insert into eval_query (query_id, query_text, query_set) values ('u1', 'a question', 'unjudged')"
    )
    queue = JobQueue(store, "the test")
    job = queue.enqueue(job_type, given)
    worker = Worker(lambda: VectorStore(engine=store.engine.another()), WorkerOptions("worker-1"))
    worker.run()
    ended = store.get_job(job.job_id)
    assert (ended.status, ended.attempt_count) == (JobStatus.DEADLETTER, 1)
    assert ended.last_error.startswith("UnusableInput: ")


def test_seeds_may_come_with_the_next_build(store):
    store.engine.execute("drop view eval_query_input")
    with pytest.raises(ConfigurationError) as raised:
        retrieve(store)
    assert not is_permanent(raised.value)


def distinct_sources(hits):
    return sorted(set(hits), key=hits.index)


def test_two_spaces_are_compared_by_what_they_answer(store, answerable, other_space):
    given = {"space_key_a": "hash", "space_key_b": "other", "query_set": "tiny", "top_k": 30}
    context = context_of(store, "DRIFT_TEST", drift_test.validate(given))
    metrics = drift_test.run(context)
    answers = [logged(store, context.run.run_id, key) for key in ("hash", "other")]
    assert set(metrics["queries"]) == {"t1", "t2", "t3"}, "a question needs no judgment here"
    for query_id, measured in metrics["queries"].items():
        a, b = (distinct_sources(found[query_id]) for found in answers)
        assert measured["overlap@10"] == len(set(a[:10]) & set(b[:10])) / 10
        assert measured["jaccard"] == len(set(a) & set(b)) / len({*a, *b})
    assert 0 < metrics["mean"]["jaccard"] < 1
    ((compared,),) = store.engine.query("select count(*) from space_comparison where metric = 'RR'")
    assert compared == 2, "each of the two is compared with the other"


def test_overlap_by_hand():
    a, b = ["a", "b", "c", "d"], ["b", "a", "x"]
    assert (overlap(a, b, 2), overlap(a, b, 1), overlap(a, b, 10), jaccard(a, b)) == (1, 0, 0.5, 2 / 5)
    assert (overlap([], [], 10), jaccard([], [])) == (None, None)
    assert overlap([], ["a"], 10) == jaccard([], ["a"]) == 0


@pytest.mark.long
def test_two_runs_of_one_space_are_compared_by_their_logs(store, answerable):
    ask_few(store.engine)
    runs = []
    for query_set in ("tiny", "tiny", "demo"):
        given = retrieve_test.validate({"space_key": "hash", "query_set": query_set, "top_k": 20})
        context = context_of(store, "RETRIEVE_TEST", given)
        retrieve_test.run(context)
        runs.append(context.run.run_id)
    before = len(store.list_retrievals())
    metrics = drift(store, run_id_a=runs[0], run_id_b=runs[1])
    assert metrics["mean"] == {"overlap@10": 1, "jaccard": 1}
    assert (metrics["query_count"], metrics["queries_only_in_a"], metrics["queries_only_in_b"]) == (2, 0, 0)
    assert len(store.list_retrievals()) == before, "nothing is asked again"
    assert (metrics["top_k"], metrics["filters"]) == (20, None)
    assert metrics["policy_a"] == metrics["policy_b"] == {"method": "dense", "per_source": 1}
    with pytest.raises(ConfigurationError, match="no question in common"):
        drift(store, run_id_a=runs[0], run_id_b=runs[2])
    with pytest.raises(ConfigurationError, match="run none has logged no question"):
        drift(store, run_id_a=runs[0], run_id_b="none")


POLICIES = [
    {"mode": "lexical"}, {"mode": "lexical", "language": "german"}, {"mode": "hybrid", "pool": 30},
    {"mmr": 0.5, "per_source": 2}, {"min_score": 0.99}, {"per_source": None},
]  # fmt: skip


def test_json_may_write_a_whole_number_with_a_point(store, answerable):
    assert retrieve(store, query_set="tiny", top_k=20.0)["top_k"] == 20


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.long
def test_questions_are_asked_by_the_policy(store, answerable, other_space, policy, monkeypatch):
    if policy.get("mode") == "lexical":
        monkeypatch.setattr("vector.evaluation.questions.open_provider", None)  # no model is needed, and none is opened
    expected = SearchPolicy(**{"per_source": 1, **policy}).in_warehouse(store.engine).asked_json(20)
    metrics = retrieve(store, query_set="tiny", top_k=20, **policy)
    assert metrics["policy"] == expected
    compared = drift(store, space_key_a="hash", space_key_b="other", query_set="tiny", top_k=20, **policy)
    assert (compared["policy"], compared["filters"]) == (expected, None)
    searches = store.list_retrievals(limit=8)
    assert len(searches) == 2 + 2 * 3
    assert all({**each.policy, **expected} == each.policy for each in searches)
    if policy == {"min_score": 0.99}:
        assert [
            len(store.list_retrieval_hits(each.retrieval_id)) for each in searches if each.eval_query_id != "t1"
        ] == [0] * 5


def test_a_job_names_installed_rerankers_alone_and_a_person_any(store, answerable, monkeypatch):
    """What the queue says is not imported on its word."""
    monkeypatch.setitem(
        sys.modules, "my_ranker", SimpleNamespace(f=lambda query, texts: [-len(text) for text in texts])
    )
    space = store.get_embedding_space_by_key("hash")
    shown = evaluate(store, space, "tiny", 5, SearchPolicy(rerank="my_ranker:f"))
    assert shown["policy"] == {"method": "dense", "pool": 100, "rerank": "my_ranker:f"}
    job = store.get_job(store.get_run(shown["run_id"]).job_id)
    assert job.input_json == {"space_key": "hash", "query_set": "tiny", "top_k": 5, "source_types": [],
                              "per_source": None, "rerank": "my_ranker:f"}  # fmt: skip
    with pytest.raises(InvalidRecord, match="key rerank"):
        retrieve_test.run(context_of(store, "RETRIEVE_TEST", job.input_json))
    with pytest.raises(ConfigurationError, match="reranker 'mine': give module:function, or an entry point of"):
        retrieve(store, query_set="tiny", rerank="mine")


def run_of(store, **given):
    """The id of a run that asked the tiny set, for 20 hits unless another number is given."""
    context = context_of(
        store, "RETRIEVE_TEST", retrieve_test.validate({"space_key": "hash", "query_set": "tiny", "top_k": 20, **given})
    )
    retrieve_test.run(context)
    return context.run.run_id


def test_two_ways_of_asking_one_space_are_compared_by_their_runs(store, answerable):
    runs = [run_of(store, mode=mode, source_types=["page"]) for mode in ("dense", "lexical")]
    metrics = drift(store, run_id_a=runs[0], run_id_b=runs[1])
    assert metrics["query_count"] == 2
    assert 0 < metrics["mean"]["jaccard"] < 1
    assert (metrics["policy_a"]["method"], metrics["policy_b"]["method"]) == ("dense", "lexical")
    assert (metrics["top_k"], metrics["filters"]) == (20, {"source_type": ["page"]})
    assert (metrics["space_key_a"], metrics["space_key_b"]) == ("hash", "hash")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"top_k": 5}, "run .* asked for 20 hits, run .* for 5;"),
        ({"source_types": ["page"]}, "run .* asked with no filter, run .* with {'source_type': \\['page'\\]};"),
    ],
)  # fmt: skip
def test_runs_that_asked_for_something_else_show_no_drift(store, answerable, other, message):
    """They would differ in any space."""
    with pytest.raises(ConfigurationError, match=message):
        drift(store, run_id_a=run_of(store), run_id_b=run_of(store, **other))


def test_a_run_that_asked_in_several_ways_is_no_answer(store, answerable):
    plain, mixed = run_of(store), run_of(store)
    store.engine.execute("update retrieval set top_k = 5 where run_id = ? and eval_query_id = 't1'", [mixed])
    with pytest.raises(ConfigurationError, match="run .* asked in several ways; give a run of RETRIEVE_TEST"):
        drift(store, run_id_a=plain, run_id_b=mixed)


def test_the_log_passes_dbts_tests(project):
    with project.store() as store:
        ask_few(store.engine)
        retrieve(store, query_set="demo", top_k=5)
    done = project.test("--select", "retrieval", "retrieval_hit", "retrieval_hit_is_of_its_own_space")
    assert done.success, done.output


@pytest.mark.parametrize(
    ("handler", "given", "message"),
    [
        (retrieve_test, {}, "'space_key' is a required property"),
        (retrieve_test, {"space_key": "s", "top_k": 0}, "key top_k: 0 is less than the minimum of 1; give a number"),
        (retrieve_test, {"space_key": "s", "top_k": "10"}, "key top_k: '10' is not of type 'integer'"),
        (retrieve_test, {"space_key": "s", "source_types": "page"}, "key source_types: 'page' is not of type 'array'"),
        (retrieve_test, {"space": "s"}, "required property|'space' was unexpected"),
        (retrieve_test, {"space_key": "s", "mode": "bm25"}, "key mode: it is 'bm25'; give one of dense, lexical"),
        (retrieve_test, {"space_key": "s", "mode": 1}, "key mode: 1 is not of type 'string'; give one of"),
        (retrieve_test, {"space_key": "s", "mmr": 1.5}, "key mmr: it is 1.5; give a number from 0 to 1"),
        (retrieve_test, {"space_key": "s", "min_score": "0.3"}, "key min_score: '0.3' is not of type 'number'"),
        (retrieve_test, {"space_key": "s", "per_source": 0}, "key per_source: it is 0; give a number from 1, or null"),
        (retrieve_test, {"space_key": "s", "per_source": "none"}, "key per_source: .*; give a number from 1, or null"),
        (drift_test, {"run_id_a": "r", "run_id_b": "s", "per_source": None}, "key per_source: the runs have asked"),
        (retrieve_test, {"space_key": "s", "pool": 2**31}, "key pool: 2147483648 is greater than the maximum"),
        (retrieve_test, {"space_key": "s", "rerank": "os:system"}, "key rerank: .*give the name of an entry point"),
        (drift_test, {"space_key_a": "s", "space_key_b": "t", "pool": 0}, "DRIFT_TEST input, key pool: it is 0"),
        (drift_test, {"run_id_a": "r", "run_id_b": "s", "mode": "lexical"}, "key mode: the runs have asked already"),
        (drift_test, {}, "give space_key_a and space_key_b, or run_id_a and run_id_b"),
        (drift_test, {"space_key_a": "s"}, "give space_key_a and space_key_b"),
        (drift_test, {"space_key_a": "s", "run_id_b": "r"}, "give space_key_a and space_key_b"),
        (drift_test, {"space_key_a": "s", "space_key_b": "s"}, "key space_key_b: is the same as space_key_a"),
        (drift_test, {"run_id_a": "r", "run_id_b": "s", "top_k": 3}, "key top_k: the runs have asked already"),
    ],
)
def test_invalid_inputs_name_the_key(handler, given, message):
    with pytest.raises(InvalidRecord, match=message):
        handler.validate(given)


def test_validation_is_stable():
    for handler, given in (
        (retrieve_test, {"space_key": "s"}),
        (drift_test, {"space_key_a": "s", "space_key_b": "t"}),
        (drift_test, {"run_id_a": "r", "run_id_b": "s"}),
    ):
        checked = handler.validate(given)
        assert handler.validate(checked) == checked
    defaults = {"top_k": 100, "per_source": 1, "source_types": []}
    assert retrieve_test.validate({"space_key": "s"}) == {"space_key": "s", **defaults}
    spaces = {"space_key_a": "s", "space_key_b": "t"}
    assert drift_test.validate(spaces) == {**spaces, **defaults}
    assert drift_test.validate({**spaces, "per_source": None})["per_source"] is None
