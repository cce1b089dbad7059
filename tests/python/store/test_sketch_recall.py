"""The recall of searches by sketches is measured, kept and shown, and a low one warns."""

import json

import pytest

from vector.engines.duckdb import sketch_search
from vector.providers.hash import HashProvider
from vector.search.policy import DENSE
from vector.search.search import search
from vector.store import sketches as writing
from vector.store.sketch_recall import SketchRecall, measure_recall
from vector.store.sketches import fill_sketches, keep_sketched

MEASURED = (
    "select asked, sketch_version, question_count, expected_count, found_count from embedding_sketch_recall"
    " where asked = 'vectors'"
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(writing, "LEAST_VECTORS", 50)


def test_without_sketches_there_is_nothing_to_measure(store, space):
    assert measure_recall(store.engine, space) == []


def test_all_is_found_where_every_vector_is_a_candidate_and_less_where_few_are(store, space, monkeypatch):
    for question in ("Which moon has geysers?", "Which moon has geysers?", "Who saw Saturn's rings?"):
        search(store, space, HashProvider(space), question, policy=DENSE)
    ((logged, asked),) = store.engine.query(
        "select count(*), count(distinct query_sha256) from retrieval where query_embedding is not null"
    )
    assert 1 < asked < logged
    fill_sketches(store, space)
    found = measure_recall(store.engine, space)
    assert {(each.asked, each.questions, each.found / each.expected) for each in found} == {
        ("searches", asked, 1.0), ("vectors", 20, 1.0),
    }  # fmt: skip
    monkeypatch.setattr(sketch_search, "CANDIDATES", 20)
    monkeypatch.setattr(sketch_search, "CANDIDATES_PER_HIT", 1)
    of_vectors = {each.asked: each for each in measure_recall(store.engine, space)}["vectors"]
    assert of_vectors.expected == 200
    assert 20 <= of_vectors.found < 200
    assert len(store.engine.query(MEASURED)) == 2


def test_questions_that_sketches_leave_to_the_exact_search_are_not_counted(store, space, monkeypatch):
    fill_sketches(store, space)
    monkeypatch.setattr(type(store.engine), "search_by_sketches", lambda *_: None)
    assert measure_recall(store.engine, space) == []
    assert store.engine.query(MEASURED) == []


def test_a_run_measures_a_space_that_has_grown_by_half(store, space):
    keep_sketched(store, space)
    ((kind, version, questions, expected, found),) = store.engine.query(MEASURED)
    assert (kind, version, questions, expected, found) == ("vectors", 1, 20, 200, 200)
    keep_sketched(store, space)
    assert len(store.engine.query(MEASURED)) == 1
    store.engine.execute("update embedding_sketch_recall set vector_count = vector_count / 2")
    keep_sketched(store, space)
    assert len(store.engine.query(MEASURED)) == 2
    fill_sketches(store, space, renew=True)
    keep_sketched(store, space)
    assert sorted(version for _, version, *_ in store.engine.query(MEASURED)) == [1, 1, 2]


def test_equal_scores_are_one_as_good_as_the_other(store, space, monkeypatch):
    fill_sketches(store, space)
    found = store.engine.search_by_sketches

    def turned(request, mean):
        """As if twice as many vectors had the score of the tenth."""
        answer = found(request, mean)
        last = answer.hits[-1]
        answer.hits[:] = [*answer.hits[:-1], type(last)("another", last.content_sha256, last.score)]
        return answer

    monkeypatch.setattr(store.engine, "search_by_sketches", turned)
    assert SketchRecall("vectors", 20, 200, 200) in measure_recall(store.engine, space)


def test_the_command_shows_it_and_a_low_one_warns(project):
    shown = json.loads(project.vector("spaces", "sketch", "hash", "--json").stdout)
    assert set(shown["recall"].values()) == {1.0}
    assert "recall@10 1.0 (20 vectors)" in project.vector("spaces", "sketch", "hash").stdout
    assert project.query("select space_key, asked, recall_at_10 from search_recall where asked = 'vectors'") == [
        ("hash", "vectors", 1.0)
    ]
    project.dbt("test", "--select", "sketches_find_the_nearest", "--warn-error")
    with project.connect() as connection:
        connection.execute("update vector.embedding_sketch_recall set found_count = 190")
    output = project.dbt("test", "--select", "sketches_find_the_nearest")
    assert "WARN=1" in str(output)
