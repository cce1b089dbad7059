"""Sketches: what their bits are, and that every vector has its own, whoever writes, renews, deletes or is killed."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import VectorEmbedding, VectorSourceRegistry
from vector.engines.sketches import SketchCounts, current_mean, sketch_counts, sketch_of_question, sketches
from vector.errors import ConfigurationError
from vector.store import sketches as writing
from vector.store.sketches import fill_sketches, keep_sketched, wrong_sketches

COUNT = "select count(*) from embedding_sketch"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A space of the demo's size is large enough."""
    monkeypatch.setattr(writing, "LEAST_VECTORS", 50)


def bits_of(words):
    return [int(word) % 2**64 >> bit & 1 for word in words for bit in range(64)]


def by_hand(vector, mean):
    centred = [x / float(np.linalg.norm(vector)) - m for x, m in zip(vector, mean, strict=True)]
    if len(vector) <= 384:
        return [int(x > 0) for x in centred] + [0] * (384 - len(vector))
    sums = [0.0] * 384
    for i, x in enumerate(centred):
        drawn = b"".join(hashlib.sha256(f"vector sketch {i} {part}".encode()).digest() for part in (0, 1))
        number = int.from_bytes(drawn, "little")
        sums = [total + (x if number >> bit & 1 else -x) for bit, total in enumerate(sums)]
    return [int(total > 0) for total in sums]


@pytest.mark.parametrize("dimensions", [8, 384, 500])
def test_the_bits_are_the_signs_that_are_told(dimensions):
    random = np.random.default_rng(3)
    vectors = random.standard_normal((3, dimensions)).astype(np.float32)
    mean = (random.standard_normal(dimensions) / 50).astype(np.float32)
    made = sketches(vectors, mean)
    assert (made.dtype, made.shape) == (np.int64, (3, 6))
    for vector, words in zip(vectors, made, strict=True):
        assert bits_of(words) == by_hand(vector.astype(float).tolist(), mean.astype(float).tolist())


def test_what_a_bit_of_a_question_weighs_is_told():
    vector = np.asarray([3, -4, 0.5, -1, 2, 0.1], np.float32)
    words, ones, twos = sketch_of_question(vector, np.zeros(6, np.float32))
    assert words == sketches(vector[None], np.zeros(6, np.float32))[0].tolist() == [0b110101, *[0] * 5]
    weights = [(ones[0] >> bit & 1) + 2 * (twos[0] >> bit & 1) for bit in range(64)]
    assert weights[:6] == [2, 3, 0, 1, 2, 0]
    assert weights[6:] == [0] * 58
    assert ones[1:] == twos[1:] == [0] * 5


def test_a_question_that_is_the_mean_weighs_nothing():
    mean = np.asarray([0.6, 0.8], np.float32)
    assert sketch_of_question(2 * mean, mean) == ([0] * 6,) * 3


def test_a_vector_of_zeros_has_a_sketch():
    assert sketches(np.zeros((1, 4), np.float32), np.ones(4, np.float32)).tolist() == [[0] * 6]


def counts(store, space):
    mean = current_mean(store.engine, space.embedding_space_id)
    return mean.version if mean else None, sketch_counts(store.engine, space.embedding_space_id, mean.version)


def test_a_space_that_is_large_enough_is_sketched_after_a_run(store, space, monkeypatch):
    assert current_mean(store.engine, space.embedding_space_id) is None
    monkeypatch.setattr(writing, "LEAST_VECTORS", 10_000)
    keep_sketched(store, space)
    with pytest.raises(ConfigurationError, match=r"space hash has \d+ vectors; sketches are made from 10,000 on"):
        fill_sketches(store, space)
    assert store.engine.query(COUNT) == [(0,)]

    monkeypatch.setattr(writing, "LEAST_VECTORS", 50)
    keep_sketched(store, space)
    version, made = counts(store, space)
    assert (version, made.complete, made.vectors) == (
        1,
        True,
        store.engine.query("select count(*) from embedding")[0][0],
    )
    assert wrong_sketches(store) == []
    vectors = np.asarray([row for (row,) in store.engine.query("select vector from embedding")])
    assert np.allclose(current_mean(store.engine, space.embedding_space_id).mean, vectors.mean(axis=0), atol=1e-6)


def test_a_space_whose_vectors_differ_in_length_gets_none(store, space):
    unfit = replace(space, distance_metric="dot", normalize_flag=False)
    keep_sketched(store, unfit)
    with pytest.raises(ConfigurationError, match="space hash: its vectors differ in length, .* it is searched exactly"):
        fill_sketches(store, unfit)
    assert store.engine.query(COUNT) == [(0,)]


def test_a_vector_comes_with_its_sketch(store, space, embedding):
    fill_sketches(store, space)
    _, before = counts(store, space)
    assert store.save_embedding(embedding)
    assert counts(store, space)[1] == SketchCounts(before.vectors + 1, before.sketches + 1)
    # One that is there already, under another id, leaves no sketch behind; the new one beside it has its own.
    (other,) = Chunker(ChunkingPolicy()).chunk("The text of another note.", "note:2", "note")
    store.save_source(VectorSourceRegistry("note:2", "note", {"file": "n"}))
    store.save_chunk(other)
    again, new = (
        VectorEmbedding.create_new(chunk_id, space.embedding_space_id, sha256, embedding.vector)
        for chunk_id, sha256 in (
            (embedding.chunk_id, embedding.input_content_sha256), (other.chunk_id, other.content_sha256),
        )
    )  # fmt: skip
    assert store.save_embeddings([again, new]).inserted == 1
    assert counts(store, space)[1] == SketchCounts(before.vectors + 2, before.sketches + 2)
    assert wrong_sketches(store) == []


def test_what_is_missing_is_made_and_what_has_no_vector_goes(store, space):
    fill_sketches(store, space)
    store.engine.execute("delete from embedding_sketch where embedding_id < '8'")
    store.engine.execute(
        "insert into embedding_sketch select * replace ('gone' as embedding_id) from embedding_sketch limit 1"
    )
    assert not counts(store, space)[1].complete
    assert fill_sketches(store, space).complete
    assert store.engine.query("select count(*) from embedding_sketch where embedding_id = 'gone'") == [(0,)]
    assert (counts(store, space)[0], wrong_sketches(store)) == (1, [])


def test_one_session_at_a_time_makes_them_and_a_run_goes_on_without(store, space):
    with store.engine.another().exclusive(f"sketch:{space.embedding_space_id}"):
        with pytest.raises(ConfigurationError, match="another session makes its sketches; wait for it"):
            fill_sketches(store, space)
        keep_sketched(store, space)
    assert store.engine.query(COUNT) == [(0,)]


def test_renewing_goes_on_after_an_interruption(store, space, monkeypatch):
    fill_sketches(store, space)
    monkeypatch.setattr(writing, "BATCH", 20)
    written = []

    def interrupted(engine, rows):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(len(rows))
        write(engine, rows)

    write = writing._write
    monkeypatch.setattr(writing, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill_sketches(store, space, renew=True)
    version, made = counts(store, space)
    assert (version, made.sketches) == (2, 40)
    assert store.engine.query(COUNT) == [(made.vectors,)]

    monkeypatch.setattr(writing, "_write", write)
    assert fill_sketches(store, space).complete
    assert (counts(store, space)[0], wrong_sketches(store)) == (2, [])


def test_a_vector_that_cannot_be_compared_has_a_sketch_all_the_same(store, space):
    for unusable in ("list_prepend(cast('nan' as float), vector[2:])", "list_prepend(null, vector[2:])"):
        store.engine.execute(
            f"update embedding set vector = {unusable} where embedding_id = (select min(embedding_id) from embedding)"
        )
        assert fill_sketches(store, space, renew=True).complete
        assert np.isfinite(current_mean(store.engine, space.embedding_space_id).mean).all()


def test_vectors_are_read_in_blocks_with_what_stands_beside_them(store, space):
    columns = "embedding_id, if(embedding_id < '8', vector, vector[:3]), 7"
    select = f"select {columns} from {store.engine.table('embedding')} order by embedding_id"
    blocks = list(store.engine.vector_blocks(select, [], 8, 20))
    assert [len(ids) for ids, _, _ in blocks[:-1]] == [20] * (len(blocks) - 1)
    for ids, matrix, numbers in blocks:
        assert (matrix.shape, matrix.dtype, numbers.tolist()) == ((len(ids), 8), np.float32, [[7]] * len(ids))
        assert [bool(row.any()) for row in matrix] == [each < "8" for each in ids]


def test_a_sketch_that_is_not_its_vectors_is_found(project):
    with project.store() as store:
        fill_sketches(store, store.get_embedding_space_by_key("hash"))
        ((planted,),) = store.engine.query("select min(embedding_id) from embedding")
        store.engine.execute("update embedding_sketch set sketch_6 = -1 where embedding_id = ?", [planted])
        assert wrong_sketches(store) == [planted]
    done = project.vector("verify", "--json")
    assert (done.exit_code, json.loads(done.stdout)["sketches"]) == (1, [planted])


def test_the_command_makes_and_renews_them(project):
    for arguments, version in (((), 1), ((), 1), (("--renew",), 2)):
        shown = json.loads(project.vector("spaces", "sketch", "hash", *arguments, "--json").stdout)
        assert shown["sketches"] == shown["vectors"] > 50
        assert project.query("select max(sketch_version), min(sketch_version) from embedding_sketch") == [
            (version,) * 2
        ]
    done = project.vector("spaces", "sketch", "none")
    assert (done.exit_code, "no space is called 'none'" in done.stderr) == (2, True)


def test_an_erased_source_leaves_no_sketch(project):
    assert project.vector("spaces", "sketch", "hash").exit_code == 0
    before = project.query(COUNT)[0][0]
    assert "embedding_sketch 5" in project.vector("erase", "--source-id", "page:io", "--reason", "asked").stdout
    left = project.query(COUNT)[0][0]
    assert left < before
    assert project.query("select count(*) from embedding") == [(left,)]
    assert project.query(f"{COUNT} where embedding_id not in (select embedding_id from embedding)") == [(0,)]


def test_pruning_takes_the_sketches_along(project):
    assert project.vector("spaces", "sketch", "hash").exit_code == 0
    with project.connect() as connection:
        connection.execute("delete from retrieval_hit")
        connection.execute("update chunk set retired_utc = '2020-01-01' where source_type = 'event'")
        ((gone,),) = connection.execute(
            "select count(*) from embedding join chunk using (chunk_id) where source_type = 'event'"
        ).fetchall()
    before = project.query(COUNT)[0][0]
    done = project.dbt("run-operation", "prune_embeddings", "--args", "{days: 90}")
    assert done.success, done.output
    assert project.query(COUNT) == [(before - gone,)]
    assert project.query(f"{COUNT} where embedding_id not in (select embedding_id from embedding)") == [(0,)]
