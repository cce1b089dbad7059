"""EMBED_CHUNKS and REEMBED_SPACE: the same vectors as embed.py, by pieces, and none of them twice."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from job_support import context_of, run_job

from vector.embedding.open_models import OpenModels
from vector.errors import ConfigurationError, InvalidRecord
from vector.jobs.handlers import embed_chunks, reembed_space
from vector.providers.hash import HashProvider
from vector.store import VectorStore


@pytest.fixture
def other(store):
    """A second space, of the same chunks and without a vector."""
    return store.get_or_create_embedding_space("hash", "hash", 16, space_key="other")


def vectors(store, space):
    """(chunk, vector hash) of each vector of a space."""
    return store.engine.query(
        "select chunk_id, vector_sha256 from embedding where embedding_space_id = ? order by 1",
        [space.embedding_space_id],
    )


def pending(store, space):
    ((count,),) = store.engine.query(
        "select count(*) from embedding_pending where embedding_space_id = ?", [space.embedding_space_id]
    )
    return count


def test_given_chunks_sources_or_all_are_embedded(store, other):
    chunk_ids = sorted(each.chunk_id for each in store.list_chunks("page:apollo"))[:3]
    given = {"space_key": "other", "chunk_ids": chunk_ids}
    metrics = run_job(store, embed_chunks, "EMBED_CHUNKS", given)
    assert (metrics["planned"], metrics["written"]) == (3, 3)
    assert [chunk_id for chunk_id, _ in vectors(store, other)] == chunk_ids
    assert run_job(store, embed_chunks, "EMBED_CHUNKS", given)["written"] == 0

    metrics = run_job(store, embed_chunks, "EMBED_CHUNKS", {"space_key": "other", "source_ids": ["page:apollo"]})
    assert metrics["written"] == len(store.list_chunks("page:apollo")) - 3
    assert run_job(store, embed_chunks, "EMBED_CHUNKS", {"space_key": "other", "limit": 5})["written"] == 5
    run_job(store, embed_chunks, "EMBED_CHUNKS", {"space_key": "other"})
    assert pending(store, other) == 0


def test_a_worker_that_must_end_keeps_what_was_answered(store, other, monkeypatch):
    class Stopped(Exception):
        pass

    monkeypatch.setattr("vector.jobs.context.JobStopped", Stopped, raising=False)
    monkeypatch.setattr("vector.providers.hash.HashProvider.preferred_batch_size", 16)
    monkeypatch.setattr("vector.providers.hash.HashProvider.largest_batch_size", 16, raising=False)
    context = context_of(store, "EMBED_CHUNKS", {"space_key": "other"}, stop_after=3)
    with pytest.raises(Stopped, match="vectors"):
        embed_chunks.run(context)
    kept = vectors(store, other)
    assert 0 < len(kept) < len(store.list_chunks())
    assert run_job(store, embed_chunks, "EMBED_CHUNKS", {"space_key": "other"})["planned"] == pending_before(
        store, kept
    )
    assert [row for row in vectors(store, other) if row in kept] == kept


def pending_before(store, kept):
    return len(store.list_chunks()) - len(kept)


def test_a_space_is_embedded_in_pieces_and_the_others_left_alone(store, space, other):
    before, chunks = vectors(store, space), len(store.list_chunks())
    context = context_of(store, "REEMBED_SPACE", reembed_space.validate({"space_key": "other", "piece_chunks": 100}))
    metrics = reembed_space.run(context)
    assert (metrics["pieces"], metrics["written"], metrics["planned"]) == (-(-chunks // 100), chunks, chunks)
    assert (metrics["pending"], metrics["quarantined_in_space"], pending(store, other)) == (0, 0, 0)
    assert len(vectors(store, other)) == chunks
    assert vectors(store, space) == before
    assert len(context.heartbeats) == metrics["pieces"] - 1

    again = run_job(store, reembed_space, "REEMBED_SPACE", {"space_key": "other"})
    assert (again["pieces"], again["written"]) == (0, 0)


def test_a_stopped_reembedding_goes_on_where_it_was(store, other, monkeypatch):
    class Stopped(Exception):
        pass

    monkeypatch.setattr("vector.jobs.context.JobStopped", Stopped, raising=False)
    given = reembed_space.validate({"space_key": "other", "piece_chunks": 50})
    context = context_of(store, "REEMBED_SPACE", given, stop_after=10)
    with pytest.raises(Stopped):
        reembed_space.run(context)
    kept = len(vectors(store, other))
    assert 0 < kept < len(store.list_chunks())
    metrics = run_job(store, reembed_space, "REEMBED_SPACE", given)
    assert metrics["written"] == len(store.list_chunks()) - kept


def test_metrics_of_pieces_are_summed(store):
    first = {"written": 2, "seconds": 0.5, "batch_size": 16, "server": {"requests": 1}, "tokens_counted": True}
    second = {"written": 3, "seconds": 0.25, "batch_size": 32, "server": {"requests": 4}, "tokens_counted": False}
    assert reembed_space._added(first, second) == {
        "written": 5, "seconds": 0.75, "batch_size": 32, "server": {"requests": 5}, "tokens_counted": False,
    }  # fmt: skip


@pytest.mark.parametrize("handler", [embed_chunks, reembed_space])
def test_a_space_that_cannot_be_filled_is_named(store, handler):
    with pytest.raises(ConfigurationError, match="no space is called 'none'; spaces are hash"):
        handler.run(context_of(store, "EMBED_CHUNKS", {"space_key": "none"}))
    store.engine.execute("update embedding_space set is_active = false")
    with pytest.raises(ConfigurationError, match="space hash is inactive"):
        handler.run(context_of(store, "EMBED_CHUNKS", {"space_key": "hash"}))


@pytest.mark.parametrize(
    ("handler", "given", "message"),
    [
        (embed_chunks, {}, "'space_key' is a required property"),
        (embed_chunks, {"space_key": "s", "chunk_ids": ["a" * 65]}, "key chunk_ids.0: .* give chunk ids of 1 to 64"),
        (embed_chunks, {"space_key": "s", "chunk_ids": []}, "key chunk_ids"),
        (embed_chunks, {"space_key": "s", "chunk_ids": ["0" * 64], "source_ids": ["p"]}, "are both given"),
        (embed_chunks, {"space_key": "s", "limit": 0}, "key limit: 0 is less than the minimum"),
        (embed_chunks, {"space_key": "s", "piece_chunks": 5}, "'piece_chunks' was unexpected"),
        (reembed_space, {"space_key": "s", "limit": 5}, "'limit' was unexpected"),
        (reembed_space, {"space_key": "s", "piece_chunks": 0}, "key piece_chunks: 0 is less"),
    ],
)
def test_invalid_inputs_name_the_key(handler, given, message):
    with pytest.raises(InvalidRecord, match=message):
        handler.validate(given)


def test_validation_is_stable():
    assert embed_chunks.validate({"space_key": "s"}) == {"space_key": "s"}
    checked = reembed_space.validate({"space_key": "s"})
    assert checked == reembed_space.validate(checked) == {"space_key": "s", "piece_chunks": 10_000}


def test_jobs_of_one_space_wait_for_each_other(store, other):
    with store.engine.exclusive(f"embed:{other.embedding_space_id}") as held:
        assert held
        waiting = ThreadPoolExecutor(1).submit(_run_in_a_session_of_its_own, store, {"space_key": "other"})
        time.sleep(0.5)
        assert not waiting.done()
        assert pending(store, other) == len(store.list_chunks())
    assert waiting.result(20)["written"] == len(store.list_chunks())


def _run_in_a_session_of_its_own(store, given):
    return run_job(VectorStore(engine=store.engine.another()), embed_chunks, "EMBED_CHUNKS", given)


def test_a_model_in_the_process_stays_open_between_jobs(store, other, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "vector.embedding.run.open_provider", lambda space: opened.append(HashProvider(space)) or opened[-1]
    )
    monkeypatch.setattr("vector.jobs.handlers.embed_chunks.OPEN_MODELS", OpenModels())
    metrics = [run_job(store, embed_chunks, "EMBED_CHUNKS", {"space_key": "other", "limit": 5}) for _ in range(2)]
    assert len(opened) == 1
    assert [each["canary_texts"] > 0 for each in metrics] == [True, False]
    assert [each["written"] for each in metrics] == [5, 5]
