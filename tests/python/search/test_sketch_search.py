"""Search by sketches: the hits of an exact search where the sketches leave these, exact otherwise, and logged."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vector.engines.base import SearchRequest
from vector.engines.duckdb import sketch_search
from vector.engines.filters import NO_FILTERS, SearchFilters
from vector.engines.sketches import current_mean
from vector.errors import ConfigurationError
from vector.providers.hash import HashProvider
from vector.search import stages
from vector.search.policy import DENSE, HYBRID, SearchPolicy
from vector.search.replay import replay
from vector.search.search import search
from vector.store import sketches as writing
from vector.store.sketches import fill_sketches


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(writing, "LEAST_VECTORS", 50)


@pytest.fixture
def sketched(store, space):
    fill_sketches(store, space)
    return store


def question(seed=0):
    return np.random.default_rng(seed).standard_normal(8).astype(np.float32)


def both(store, space, top_k=10, filters=NO_FILTERS, metric="cosine", vector=None):
    """What a search by sketches finds, and an exact one."""
    vector = question() if vector is None else vector
    request = SearchRequest(space.embedding_space_id, vector, metric, top_k, filters)
    mean = current_mean(store.engine, space.embedding_space_id)
    return store.engine.search_by_sketches(request, mean), store.engine.search(request)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_all_vectors_of_a_small_space_are_candidates(sketched, space, metric):
    by_sketches, exact = both(sketched, space, metric=metric)
    assert by_sketches.hits == exact.hits
    assert (by_sketches.compared, by_sketches.mean) == (exact.compared, pytest.approx(exact.mean, abs=0.2))
    if metric != "euclidean":
        assert by_sketches.mean == pytest.approx(exact.mean, abs=1e-5)


def test_candidates_are_the_nearest_and_their_scores_exact(sketched, space, monkeypatch):
    monkeypatch.setattr(sketch_search, "CANDIDATES", 100)
    found = 0
    for seed in range(20):
        by_sketches, exact = both(sketched, space, vector=question(seed))
        scores = {hit.chunk_id: hit.score for hit in both(sketched, space, 1000, vector=question(seed))[1].hits}
        assert by_sketches.compared == 100
        assert len(by_sketches.hits) == 10
        assert [hit.score for hit in by_sketches.hits] == [scores[hit.chunk_id] for hit in by_sketches.hits]
        assert by_sketches.hits == sorted(by_sketches.hits, key=lambda hit: (-hit.score, hit.chunk_id))
        found += len({*by_sketches.hits} & {*exact.hits})
    # Of 8 bits; a fifth of the vectors chosen by chance would have a fifth of them.
    assert found > 130


def test_stale_and_retired_vectors_are_no_hits(sketched, space, monkeypatch):
    monkeypatch.setattr(sketch_search, "CANDIDATES", 100)
    engine = sketched.engine
    best = both(sketched, space)[0].hits
    engine.execute("update chunk set retired_utc = now() where chunk_id = ?", [best[0].chunk_id])
    engine.execute("update chunk set content_sha256 = repeat('0', 64) where chunk_id = ?", [best[1].chunk_id])
    assert both(sketched, space, 8)[0].hits == best[2:]
    # Most of the nearest are stale: more are looked at, and where that does not help all are compared.
    engine.execute("update chunk set retired_utc = now() where chunk_id not in (select max(chunk_id) from chunk)")
    assert both(sketched, space, 5)[0] is None
    assert both(sketched, space, 5)[1].compared <= 1


def test_filters_that_leave_few_chunks_are_answered_exactly(sketched, space, monkeypatch):
    pages = SearchFilters(source_types=["page"])
    assert both(sketched, space, filters=pages)[0] is None
    monkeypatch.setattr(sketch_search, "FEW", 10)
    monkeypatch.setattr(sketch_search, "CANDIDATES", 150)
    by_sketches, exact = both(sketched, space, filters=pages)
    types = dict(sketched.engine.query("select chunk_id, source_type from chunk"))
    assert {types[hit.chunk_id] for hit in by_sketches.hits} == {"page"}
    assert len({*by_sketches.hits} & {*exact.hits}) > 5
    assert both(sketched, space, filters=SearchFilters(source_ids=["page:io"]))[0] is None


def test_settings_of_the_database_are_as_before(sketched, space):
    names = ("late_materialization_max_rows", "dynamic_or_filter_threshold", "index_scan_max_count")
    select = f"select {', '.join(f'current_setting({name!r})' for name in names)}"
    before = sketched.engine.query(select)
    assert both(sketched, space)[0]
    assert sketched.engine.query(select) == before


def test_a_vector_that_cannot_be_compared_leaves_the_search_to_the_exact_one(store, space):
    store.engine.execute("update embedding set vector = list_prepend(null, vector[2:]) where embedding_id < '1'")
    fill_sketches(store, space)
    by_sketches, exact = both(store, space)
    assert by_sketches is None
    assert len(exact.hits) == 10


def asked(store, space, stage=None, policy=DENSE, **filters):
    return search(store, space, HashProvider(space), "Which moon has geysers?", policy=policy, stage=stage, **filters)


def logged(store, result):
    found = store.get_retrieval(result.retrieval_id)
    return found.search_stage, found.exact_flag


def test_auto_takes_sketches_of_a_large_space_whose_vectors_all_have_one(store, space, monkeypatch):
    monkeypatch.setattr(stages, "LEAST_VECTORS", 100)
    assert logged(store, asked(store, space)) == ("exact", True)
    fill_sketches(store, space)
    assert logged(store, asked(store, space)) == ("sketch", False)
    monkeypatch.setattr(stages, "LEAST_VECTORS", 100_000)
    assert logged(store, asked(store, space)) == ("exact", True)
    monkeypatch.setenv("VECTOR_SEARCH", "sketch")
    assert logged(store, asked(store, space)) == ("sketch", False)
    assert logged(store, asked(store, space, "exact")) == ("exact", True)
    assert logged(store, asked(store, space, policy=SearchPolicy("lexical"))) == (None, True)
    monkeypatch.setenv("VECTOR_SEARCH", "auto")
    store.engine.execute("delete from embedding_sketch where embedding_id < '1'")
    monkeypatch.setattr(stages, "LEAST_VECTORS", 100)
    assert logged(store, asked(store, space)) == ("exact", True)


def test_sketches_that_are_asked_for_and_cannot_be_had_are_refused(store, space, monkeypatch):
    with pytest.raises(ConfigurationError, match="space hash cannot be searched by sketches: it has no sketches: run"):
        asked(store, space, "sketch")
    fill_sketches(store, space)
    store.engine.execute("delete from embedding_sketch where embedding_id < '1'")
    with pytest.raises(
        ConfigurationError, match=r"by sketches: \d+ of its \d+ vectors have a sketch: run `vector spaces"
    ):
        asked(store, space, "sketch")
    fill_sketches(store, space)
    with pytest.raises(ConfigurationError, match="by sketches: its vectors differ in length, which its metric"):
        asked(store, replace(space, distance_metric="dot", normalize_flag=False), "sketch")
    monkeypatch.setenv("VECTOR_SEARCH", "fast")
    with pytest.raises(ConfigurationError, match="VECTOR_SEARCH is 'fast'; it must be auto, exact or sketch"):
        asked(store, space)


@pytest.mark.parametrize(
    "policy",
    [HYBRID, SearchPolicy("hybrid", fusion="rrf"), SearchPolicy(per_source=1), SearchPolicy(min_score=0.3),
     SearchPolicy(mmr=0.5)],
    ids=["hybrid", "rrf", "per_source", "min_score", "mmr"],
)  # fmt: skip
def test_every_policy_finds_the_same_among_the_same_candidates(sketched, space, policy):
    by_sketches, exact = (asked(sketched, space, stage, policy) for stage in ("sketch", "exact"))
    assert by_sketches.retrieval.search_stage == "sketch"
    assert [hit.chunk_id for hit in by_sketches.hits] == [hit.chunk_id for hit in exact.hits]
    assert [hit.score for hit in by_sketches.hits] == pytest.approx([hit.score for hit in exact.hits], abs=1e-5)


def test_a_replay_follows_the_stage_of_the_log(sketched, space, monkeypatch):
    of_log = {
        stage: sketched.get_retrieval(asked(sketched, space, stage).retrieval_id) for stage in ("exact", "sketch")
    }
    seen = []
    by_vectors = stages.search_by_vectors

    def watched(engine, space, request, stage):
        seen.append(stage)
        return by_vectors(engine, space, request, stage)

    monkeypatch.setattr("vector.search.candidates.search_by_vectors", watched)
    monkeypatch.setenv("VECTOR_SEARCH", "exact")
    for stage, retrieval in of_log.items():
        (again,) = replay(sketched, [retrieval])
        assert (again.not_replayed, again.changes, seen.pop()) == (None, [], stage)
    (again,) = replay(sketched, [replace(of_log["exact"], search_stage=None)])
    assert (again.changes, seen.pop()) == ([], "exact")


def test_the_command_compares_all_when_asked(project, monkeypatch):
    with project.store() as store:
        fill_sketches(store, store.get_embedding_space_by_key("hash"))
    monkeypatch.setattr(stages, "LEAST_VECTORS", 100)
    for arguments, stage in (((), "sketch"), (("--exact",), "exact")):
        done = project.vector("search", "Which moon has geysers?", "--mode", "dense", "--json", *arguments)
        shown = json.loads(done.stdout)
        assert shown["search_stage"] == stage
        assert project.query("select search_stage from retrieval where retrieval_id = ?", shown["retrieval_id"]) == [
            (stage,)
        ]
