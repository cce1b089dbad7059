"""Exact search finds what DuckDB's finds, to 1e-6, by the local copy and by the executors; it is logged hits first."""

import duckdb
import numpy as np
import pytest

from vector.engines.base import SearchRequest
from vector.engines.filters import SearchFilters
from vector.engines.spark.search import search_many
from vector.providers import open_provider
from vector.search.policy import SearchPolicy
from vector.search.search import search

_SCORES = {"cosine": "list_cosine_similarity(v, {q})", "dot": "list_inner_product(v, {q})"}
_SCORES["euclidean"] = "-list_distance(v, {q})"


@pytest.fixture(scope="module")
def space(own):
    space = own.space()
    own.embed(space)
    return space


def by_duckdb(own, space, question, metric, top_k):
    rows = [(chunk_id, vector) for chunk_id, vector in own.rows(space).items()]
    connection = duckdb.connect()
    connection.execute("create table vectors (c varchar, v float[])")
    connection.executemany("insert into vectors values (?, ?)", rows)
    score = _SCORES[metric].format(q="cast(? as float[])")
    return connection.execute(
        f"select c, {score} as score from vectors order by score desc, c limit ?", [question.tolist(), top_k]
    ).fetchall()


@pytest.mark.parametrize("metric", list(_SCORES))
def test_both_ways_find_what_duckdb_finds(own, space, metric):
    questions = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    request = SearchRequest(space.embedding_space_id, questions[0], metric, 7)
    many = search_many(own.store.engine, request, questions)
    for question, found in zip(questions, many, strict=True):
        expected = by_duckdb(own, space, question, metric, 7)
        one = own.store.engine.search(SearchRequest(space.embedding_space_id, question, metric, 7))
        for each in (found, one):
            assert [hit.chunk_id for hit in each.hits] == [chunk_id for chunk_id, _ in expected]
            assert [hit.score for hit in each.hits] == pytest.approx([score for _, score in expected], abs=1e-6)
            assert each.compared == len(own.texts)
        assert found.mean == pytest.approx(one.mean, abs=1e-6)


def test_filters_hold_in_both_ways(own, space):
    question = np.ones(8, np.float32)
    engine = own.store.engine
    for filters in (
        SearchFilters(source_ids=("source 003", "source 007")),
        SearchFilters(tags={"team": "source 005"}),
        SearchFilters(tags={"team": "nobody"}),
    ):
        request = SearchRequest(space.embedding_space_id, question, "cosine", 5, filters)
        one, (many,) = engine.search(request), search_many(engine, request, question[None, :])
        assert [hit.chunk_id for hit in one.hits] == [hit.chunk_id for hit in many.hits]
        assert one.compared == many.compared == len(one.hits)
    assert one.hits == []


def test_a_search_is_logged_hits_first(own, space, monkeypatch):
    engine, order = own.store.engine, []
    insert_new = engine.insert_new

    def recorded(table, *more, **options):
        order.append(table)
        return insert_new(table, *more, **options)

    monkeypatch.setattr(engine, "insert_new", recorded, raising=False)
    found = search(
        own.store, space, open_provider(space), "the harbour's lantern", 3, policy=SearchPolicy(mode="dense")
    )
    assert order == ["retrieval_hit", "retrieval"]
    assert own.store.get_retrieval(found.retrieval_id).query_text == "the harbour's lantern"
    hits = own.store.list_retrieval_hits(found.retrieval_id)
    assert [hit.chunk_id for hit in hits] == [hit.chunk_id for hit in found.hits]
    assert len(hits) == 3


def test_words_and_vectors_are_fused(own, space):
    found = search(own.store, space, open_provider(space), "quartz ember", 3, log=False)
    assert len(found.hits) == 3
    assert all("lexical" in hit.components for hit in found.hits)
