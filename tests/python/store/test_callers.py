"""The names and job inputs of the runtime's predecessor: what its callers write works here, or is refused in a line."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from evaluation import ask_few
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vector.contracts.models import (
    JobStatus,
    JobType,
    SourceStatus,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorSourceRegistry,
    compute_content_hash,
)
from vector.errors import InvalidRecord
from vector.jobs.active_jobs import ActiveJob
from vector.jobs.queue import JobQueue
from vector.store.ledger_io import SaveResult

ADDED = SaveResult(inserted=1)
SHA = compute_content_hash("The text of a note.")


def test_an_embedding_exists_for_its_text_in_its_space(store, space, chunk, embedding):
    key = (chunk.chunk_id, space.embedding_space_id, chunk.content_sha256)
    assert not store.embedding_exists(*key)
    store.save_embedding(embedding)
    assert store.embedding_exists(*key)
    for position in range(3):
        for other in ("0" * 64, None):
            assert not store.embedding_exists(*key[:position], other, *key[position + 1 :])


def test_the_embeddings_of_a_space(store, space, embedding):
    store.save_embedding(embedding)
    found = store.get_embeddings_by_space(space.embedding_space_id)
    assert embedding in found
    assert {each.embedding_space_id for each in found} == {space.embedding_space_id}
    assert store.get_embeddings_by_space(space.embedding_space_id, limit=2) == found[:2]
    assert store.get_embeddings_by_space("0" * 36) == store.get_embeddings_by_space(None) == []


def test_a_source_is_indexed_where_the_registry_says_so_of_this_text(store):
    entry = VectorSourceRegistry("note:9", "note", {"file": "n"}, content_sha256=SHA)
    assert not store.source_already_indexed("note:9", SHA)
    assert store.get_source_registry("note:9") is None
    assert store.save_source_registry(entry) == ADDED
    assert store.get_source_registry("note:9") == entry
    assert store.source_already_indexed("note:9", SHA)
    assert not store.source_already_indexed("note:9", compute_content_hash("another"))
    for change in (
        {"status": SourceStatus.PENDING},
        {"status": SourceStatus.ERROR},
        {"retired_utc": datetime(2026, 1, 1, tzinfo=UTC)},
        {"content_sha256": None},
    ):
        store.save_source_registry(replace(entry, **change))
        assert not store.source_already_indexed("note:9", SHA)
    assert not store.source_already_indexed("note:9", None)
    assert not store.source_already_indexed(None, SHA)


def test_hits_with_their_search_and_after_it(store, space, chunk):
    logged = VectorRetrieval.create_new(space.embedding_space_id, "?", 5)
    first = VectorRetrievalHit(logged.retrieval_id, 1, chunk.chunk_id, 0.5)
    other = next(each for each in store.list_chunks() if each.chunk_id != chunk.chunk_id)
    assert store.save_retrieval_with_hits(logged, [first]) == SaveResult(inserted=2)
    assert store.save_retrieval_hit(VectorRetrievalHit(logged.retrieval_id, 2, other.chunk_id, 0.25)) == ADDED
    assert [hit.content_sha256 for hit in store.list_retrieval_hits(logged.retrieval_id)] == [
        chunk.content_sha256,
        other.content_sha256,
    ]
    with pytest.raises(InvalidRecord, match="chunk unknown is not in the ledger"):
        store.save_retrieval_hit(VectorRetrievalHit(logged.retrieval_id, 3, "unknown", 0.5))


def test_nothing_has_the_key_none(store):
    """A key that is not given restricts a list; what asks for one record must not get any."""
    for get in (
        store.get_chunk, store.get_source, store.get_embedding, store.get_embedding_space, store.get_job, store.get_run,
        store.get_retrieval,
    ):  # fmt: skip
        assert get(None) is None
    assert not store.chunk_exists(None)


# Jobs


def done(store):
    """Does every job that is due, as a worker does; the jobs, the latest first."""
    jobs = JobQueue(store, "test:1")
    for claimed in jobs.claim(99):
        ActiveJob(claimed, jobs, threading.Event()).perform()
    return jobs.latest(99)


def test_chunks_are_embedded_in_the_space_of_the_job(store, space, chunk):
    given = {"chunk_ids": [chunk.chunk_id]}
    job = VectorJob.create_new(JobType.EMBED_CHUNKS, given, embedding_space_id=space.embedding_space_id)
    assert store.save_job(job) == ADDED
    assert store.get_job(job.job_id) == job
    assert store.save_job(job) == SaveResult(unchanged=1)
    assert done(store)[0].status is JobStatus.SUCCEEDED
    assert store.embedding_exists(chunk.chunk_id, space.embedding_space_id, chunk.content_sha256)


@pytest.mark.long
def test_every_kind_of_job_in_a_space_finds_it_by_its_id(store, space):
    ask_few(store.engine)
    for job_type in (JobType.EMBED_CHUNKS, JobType.REEMBED_SPACE, JobType.RETRIEVE_TEST):
        store.save_job(VectorJob.create_new(job_type, {}, embedding_space_id=space.embedding_space_id))
    queued = JobQueue(store, "test:1").enqueue("EMBED_CHUNKS", {}, embedding_space_id=space.embedding_space_id)
    assert queued.input_json == {"space_key": "hash"}
    assert [job.status for job in done(store)[:4]] == [JobStatus.SUCCEEDED] * 4


def test_a_source_is_chunked_by_its_id_alone(store, tmp_path, monkeypatch):
    """One that dbt keeps, and one whose registry entry says where its file is."""
    monkeypatch.setenv("VECTOR_LAKE_DIR", str(tmp_path))
    (tmp_path / "a.txt").write_text("The text of a file.", encoding="utf-8")
    entry = VectorSourceRegistry("file:a", "note", {"lake_uri": "a.txt"}, tags={"lang": "en"}, title="A")
    store.save_source_registry(replace(entry, status=SourceStatus.PENDING))
    for source_id in ("page:io", "file:a"):
        assert store.save_job(VectorJob.create_new(JobType.CHUNK_SOURCE, {"source_id": source_id})) == ADDED
    assert [job.status for job in done(store)[:2]] == [JobStatus.SUCCEEDED] * 2
    (chunk,) = store.list_chunks("file:a")
    assert chunk.content == "The text of a file."
    found = store.get_source_registry("file:a")
    assert (found.source_ref, found.tags, found.title) == (entry.source_ref, entry.tags, entry.title)
    assert store.source_already_indexed("file:a", compute_content_hash(chunk.content))


@pytest.mark.parametrize(
    ("job_type", "input_json", "message"),
    [
        ("EMBED_CHUNKS", {"chunk_ids": ["0" * 64]}, "EMBED_CHUNKS input: 'space_key' is a required property"),
        ("EMBED_CHUNKS", {"space_key": "none"}, "EMBED_CHUNKS input: no space is called 'none'; spaces are hash"),
        ("EMBED_CHUNKS", {"space_key": "hash", "texts": []}, "'texts' was unexpected"),
        ("EMBED_CHUNKS", [], "the input must be a JSON object, is list"),
        ("CHUNK_SOURCE", {"source_id": "page:none"}, "CHUNK_SOURCE input: source 'page:none' is no row of the view"),
        ("CHUNK_SOURCE", {"source_id": "note:1"}, "source 'note:1' .* its registry entry names no path; say in `from`"),
        ("CHUNK_SOURCE", {"source_id": "page:io", "policy_version": "none"}, "which has policy_version"),
        (
            "CHUNK_SOURCE",
            {"source_id": "x", "source_type": "note", "from": {"source_id": "page:none"}},
            "source 'page:none' is no row of the view document",
        ),
        (
            "CHUNK_SOURCE",
            {"source_id": "x", "source_type": "note", "from": {"text": "x"}, "policy_version": "none"},
            "chunk policy 'none' is not an active row",
        ),
        ("CHUNK_SOURCE", {"source_id": "page:io", "source_type": "x", "from": {"text": "x"}}, "belongs to dbt"),
        ("RETRIEVE_TEST", {"space_key": "hash", "query_set": "none"}, "no question of the query_set 'none'"),
        ("DRIFT_TEST", {"run_id_a": "a", "run_id_b": "b"}, "there is no run 'a'"),
        ("DRIFT_TEST", {}, "give space_key_a and space_key_b"),
    ],
)
@pytest.mark.long
def test_a_job_that_no_worker_could_do_is_refused_in_a_line(store, chunk, job_type, input_json, message):
    before = store.list_jobs()
    with pytest.raises(InvalidRecord, match=message) as refused:
        store.save_job(VectorJob.create_new(JobType(job_type), input_json))
    assert "\n" not in str(refused.value)
    assert store.list_jobs() == before


def test_the_state_of_a_job_can_be_saved_whatever_has_become_of_what_it_names(store, space):
    job = VectorJob.create_new(JobType.EMBED_CHUNKS, {}, embedding_space_id=space.embedding_space_id)
    store.save_job(job)
    store.save_embedding_space(replace(space, is_active=False))
    assert store.save_job(replace(job, priority=5)) == SaveResult(updated=1)
    with pytest.raises(InvalidRecord, match="EMBED_CHUNKS input: space hash is inactive"):
        store.save_job(VectorJob.create_new(JobType.EMBED_CHUNKS, {}, embedding_space_id=space.embedding_space_id))


# Good values first; the last of each is a bad one.
_KEYS = {
    JobType.EMBED_CHUNKS: {
        "space_key": ["hash", "none"],
        "chunk_ids": [["0" * 64], ["a"], [None]],
        "source_ids": [["page:io"], "page:io"],
        "limit": [1, 2, "1"],
        "other": [1],
    },
    JobType.CHUNK_SOURCE: {
        "source_id": ["page:io", "file:b", "new", "page:none"],
        "source_type": ["note", "page", ""],
        "from": [{"text": "Text."}, {"text": ""}, {"source_id": "page:io"}, {"source_id": "none"}],
        "policy_version": ["window-800-v1", "none"],
        "format": ["html", "json"],
    },
}


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), job_type=st.sampled_from(sorted(_KEYS, key=str)), in_space=st.booleans())
def test_what_is_saved_is_done(store, space, tmp_path, monkeypatch, data, job_type, in_space):
    monkeypatch.setenv("VECTOR_LAKE_DIR", str(tmp_path))
    (tmp_path / "b.txt").write_text("The text of a file.", encoding="utf-8")
    store.save_source_registry(VectorSourceRegistry("file:b", "note", {"path": "b.txt"}))
    values = {key: st.sampled_from(given) for key, given in _KEYS[job_type].items()}
    input_json = data.draw(st.fixed_dictionaries({}, optional=values))
    job = VectorJob.create_new(
        job_type, input_json, embedding_space_id=space.embedding_space_id if in_space else None, max_attempts=1
    )
    refusal = None
    try:
        store.save_job(job)
    except InvalidRecord as refused:
        refusal = str(refused)
    if refusal:
        assert "\n" not in refusal
        return
    done(store)
    found = store.get_job(job.job_id)
    assert found.status is JobStatus.SUCCEEDED, found.last_error
