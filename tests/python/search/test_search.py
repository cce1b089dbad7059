"""Search is exact: it finds what numpy finds by comparing everything, and it logs what it found."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from vector.contracts.models import VectorEmbedding, compute_content_hash
from vector.errors import ConfigurationError, InvalidRecord
from vector.providers.base import EmbeddingReply
from vector.providers.hash import HashProvider
from vector.search.policy import DENSE, SearchPolicy
from vector.search.search import search

METRICS = ("cosine", "dot", "euclidean")
TYPES = ("page", "entity", "event", "none of these")
SOURCES = ("page:apollo", "page:voyager", "entity:mercury", "none of these")


class FixedProvider:
    """Every question is this vector."""

    model_digest = None

    def __init__(self, vector):
        self.vector = np.asarray([vector], dtype=np.float32)

    def embed(self, texts):
        return EmbeddingReply(self.vector, [None], [None])


@pytest.fixture(params=METRICS)
def grid(request, store):
    """A space of vectors of small whole numbers, so that many tie and every score is known: {chunk id: vector}."""
    space = store.get_or_create_embedding_space(
        "grid", "grid", 4, normalize_flag=False, distance_metric=request.param, space_key="grid"
    )
    chunks = store.list_chunks()
    numbers = np.random.default_rng(7).integers(-2, 3, (len(chunks), 4))
    numbers[~numbers.any(axis=1)] = 1  # zeros have no direction
    store.save_embeddings(
        [
            VectorEmbedding.create_new(chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, vector)
            for chunk, vector in zip(chunks, numbers, strict=True)
        ]
    )
    return space, chunks, numbers


def brute_force(space, chunks, numbers, query, top_k, types, sources):
    """Ids and scores of the best, ties by id, and the number of candidates."""
    query = np.asarray(query, dtype=float)
    scores = {
        "cosine": numbers @ query / (np.linalg.norm(numbers, axis=1) * np.linalg.norm(query)),
        "dot": numbers @ query,
        "euclidean": -np.linalg.norm(numbers - query, axis=1),
    }[space.distance_metric]
    candidates = [
        # Rounded, so that what is equal but for the last bits ties.
        (round(float(score), 5), chunk.chunk_id)
        for score, chunk in zip(scores, chunks, strict=True)
        if (not types or chunk.source_type in types) and (not sources or chunk.source_id in sources)
    ]
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[1]))
    return candidates[:top_k], len(candidates)


# Not hypothesis: it would keep the store, and so the connection, until Python ends.
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.long
def test_search_finds_what_brute_force_finds(store, grid, seed):
    space, chunks, numbers = grid
    chance = random.Random(seed)
    for _ in range(15):
        query = [chance.randint(-2, 2) for _ in range(3)] + [chance.choice([-1, 1])]
        top_k = chance.choice([1, 2, 10, 100, 500])
        types = chance.sample(TYPES, chance.choice([0, 0, 1, 2, 4]))
        sources = chance.sample(SOURCES, chance.choice([0, 0, 0, 1, 3]))
        asked = (query, top_k, types, sources)

        result = search(store, space, FixedProvider(query), "?", top_k, types, sources, policy=DENSE, log=False)

        expected, candidates = brute_force(space, chunks, numbers, *asked)
        found = [hit.score for hit in result.hits]
        assert found == pytest.approx([score for score, _ in expected], abs=1e-5), asked
        assert [hit.rank for hit in result.hits] == list(range(1, len(expected) + 1))
        assert result.hits == sorted(result.hits, key=lambda hit: (-hit.score, hit.chunk_id)), asked
        assert result.retrieval.candidate_count == candidates, asked
        # Vectors of one direction and different lengths have cosines that may differ in the last bit: no tie.
        if space.distance_metric != "cosine":
            assert [hit.chunk_id for hit in result.hits] == [chunk_id for _, chunk_id in expected], asked
        scores = {chunk_id: score for score, chunk_id in brute_force(space, chunks, numbers, query, None, (), ())[0]}
        assert found == pytest.approx([scores[hit.chunk_id] for hit in result.hits], abs=1e-5), asked


def test_top_k_beyond_the_candidates_finds_them_all(store, grid):
    space, chunks, _ = grid
    result = search(store, space, FixedProvider([1, 0, 0, 0]), "?", len(chunks) + 1000, policy=DENSE)
    assert {hit.chunk_id for hit in result.hits} == {chunk.chunk_id for chunk in chunks}
    assert len(result.hits) == len(chunks)


def test_a_vector_of_zeros_is_refused_where_it_has_no_direction(store, grid):
    space, chunks, _ = grid
    fresh = store.get_or_create_embedding_space("grid", "grid", 4, distance_metric=space.distance_metric)
    zeros = VectorEmbedding.create_new(
        chunks[0].chunk_id, fresh.embedding_space_id, chunks[0].content_sha256, [0, 0, 0, 0]
    )
    if space.distance_metric == "cosine":
        with pytest.raises(InvalidRecord, match="a vector of zeros has no direction"):
            store.save_embedding(zeros)
    else:
        assert store.save_embedding(zeros)


# The built project, whose space is a hash: a text finds itself


@pytest.fixture
def find(store, space):
    """The ids of the chunks that are found for a text, the best first."""

    def found(text, top_k=1000):
        return [
            hit.chunk_id for hit in search(store, space, HashProvider(space), text, top_k, policy=DENSE, log=False).hits
        ]

    return found


def test_vectors_of_other_spaces_are_never_found(store, space, find):
    other = store.get_or_create_embedding_space("hash", "other", 8)
    before = find("A question")
    store.save_embeddings(
        [
            VectorEmbedding.create_new(chunk.chunk_id, other.embedding_space_id, chunk.content_sha256, [1.0] * 8)
            for chunk in store.list_chunks()
        ]
    )
    assert find("A question") == before
    assert len(before) == len(set(before))


@pytest.mark.parametrize("disabled", ["", "filter_pushdown", "build_side_probe_side"])
def test_a_search_leaves_the_callers_settings_alone(store, find, disabled):
    store.engine.connection.execute("set disabled_optimizers = ?", [disabled])
    assert find("A question")
    assert store.engine.query("select current_setting('disabled_optimizers')") == [(disabled,)]


def test_what_is_logged_is_what_was_found(store, space):
    result = search(store, space, HashProvider(space), "Où ?", 7, ["page", "event"], ["page:apollo"])
    logged = store.get_retrieval(result.retrieval.retrieval_id)
    assert logged == replace(result.retrieval, query_sha256=compute_content_hash("Où ?"))
    assert logged.filters == {"source_type": ["page", "event"], "source_id": ["page:apollo"]}
    assert (logged.top_k, logged.engine, logged.exact_flag) == (7, "duckdb", True)
    assert logged.query_embedding == pytest.approx(HashProvider(space).embed(["Où ?"]).vectors[0].tolist())
    assert [
        (hit.rank, hit.chunk_id, hit.score, hit.content_sha256)
        for hit in store.list_retrieval_hits(logged.retrieval_id)
    ] == [(hit.rank, hit.chunk_id, hit.score, hit.content_sha256) for hit in result.hits]
    assert len(result.hits) == 7

    nothing = search(store, space, HashProvider(space), "Où ?", 7, ["none of these"])
    assert nothing.hits == store.list_retrieval_hits(nothing.retrieval.retrieval_id) == []
    assert store.get_retrieval(nothing.retrieval.retrieval_id).candidate_count == 0


@pytest.mark.parametrize(
    ("query", "top_k", "error"),
    [("", 5, ConfigurationError), ("?", 0, ConfigurationError), ("\0", 5, InvalidRecord), ("\ud800", 5, InvalidRecord)],
)
def test_a_question_that_cannot_be_asked(store, space, query, top_k, error):
    with pytest.raises(error):
        search(store, space, HashProvider(space), query, top_k)
    assert len(store.list_retrievals()) == 2


@pytest.fixture
def counting(monkeypatch):
    """The hash, with a tokenizer of words that ends at the third; the counts are None for a question in Greek."""
    embed = HashProvider.embed

    def counted(self, texts):
        given = [None if "π" in text else len(text.split()) for text in texts]
        used = [count and min(count, 3) for count in given]
        return replace(embed(self, texts), input_tokens=given, used_tokens=used)

    monkeypatch.setattr(HashProvider, "embed", counted)


@pytest.mark.parametrize(
    ("question", "truncated"), [("one two three", False), ("one two three four", True), ("π two three four", None)]
)
def test_whether_the_model_saw_the_whole_question_is_logged(store, space, counting, question, truncated):
    result = search(store, space, HashProvider(space), question, 1)
    assert store.get_retrieval(result.retrieval.retrieval_id).query_truncated_flag is truncated
    assert result.to_dict()["query_truncated"] is truncated
    words = search(store, space, None, question, 1, policy=SearchPolicy("lexical"))
    assert words.to_dict()["query_truncated"] is None


# The command


def test_a_question_that_is_too_long_for_the_model_is_warned_of(project, counting):
    done = project.vector("search", "one two three four", "--json")
    assert (done.exit_code, json.loads(done.stdout)["query_truncated"]) == (0, True)
    assert done.stderr == (
        "warning: the model read 3 of the question's 4 tokens; ask a shorter one, or search by words (--mode lexical)\n"
    )
    assert project.vector("search", "one two three").stderr == ""


def test_the_command_prints_and_logs_what_it_found(project):
    done = project.vector("search", "What is an orbit?", "--top-k", "3", "--source-type", "page", "--json")
    printed = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    logged = project.query(
        "select rank, score, chunk_id, content_sha256 from retrieval_hit where retrieval_id = ? order by rank",
        printed["retrieval_id"],
    )
    assert [
        tuple(hit[name] for name in ("rank", "score", "chunk_id", "content_sha256")) for hit in printed["hits"]
    ] == (logged)
    assert {hit["source_type"] for hit in printed["hits"]} == {"page"}
    assert printed["filters"] == {"source_type": ["page"]}

    said = project.vector("search", "What is an orbit?", "--top-k", "3", "--source-type", "page").stdout.splitlines()
    assert said[0] == "What is an orbit?"
    assert [line.split()[2] for line in said[1:7:2]] == [hit["source_id"] for hit in printed["hits"]]


def test_no_log_writes_nothing(project):
    before = project.contents()
    done = project.vector("search", "What is an orbit?", "--no-log", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["retrieval_id"] is None
    assert project.contents() == before
