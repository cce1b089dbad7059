"""VectorStore on a DuckDB connection: what it saves it gives back, and what it refuses leaves no trace."""

import re
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest
from support import PROJECT_DIR, VECTOR, row_counts

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import (
    EmbeddingFailure,
    EmbeddingSpace,
    JobStatus,
    JobType,
    RunStatus,
    SourceStatus,
    VectorEmbedding,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorRun,
    VectorSourceRegistry,
    compute_content_hash,
    compute_vector_hash,
)
from vector.errors import InvalidRecord
from vector.store import VectorStore
from vector.store.ledger_io import SaveResult
from vector.store.vector_batch import VectorBatch

ADDED, UNCHANGED, CHANGED = SaveResult(inserted=1), SaveResult(unchanged=1), SaveResult(updated=1)


def test_the_public_api_runs_as_documented(project):
    conn = duckdb.connect(str(project.database_path))
    (chunk,) = VectorStore(connection=conn).list_chunks(limit=1)

    store = VectorStore(connection=conn)
    space = store.get_or_create_embedding_space(provider="ollama", model_name="nomic-embed-text", dimensions=768)
    embedding = VectorEmbedding.create_new(
        chunk_id=chunk.chunk_id,
        embedding_space_id=space.embedding_space_id,
        input_content_sha256=chunk.content_sha256,
        vector=[0.1] * 768,
    )
    store.save_embedding(embedding)

    stored = store.get_embedding(embedding.embedding_id)
    assert stored.vector == pytest.approx([0.1] * 768)
    assert stored.vector_sha256 == compute_vector_hash(stored.vector), "a float32 reads back as the float32 it is"
    conn.close()


def test_the_readme_s_example_runs_and_closes_its_connection(project, monkeypatch, capsys):
    readme = (PROJECT_DIR / "README.md").read_text(encoding="utf-8")
    block = re.search(r"LangChain\. To write:\n\n((?: {4}.*\n|\n)+)", readme)[1]
    monkeypatch.chdir(project.database_path.parent)
    assert project.database_path.name == "warehouse.duckdb"
    names = {}
    exec(textwrap.dedent(block), names)
    assert capsys.readouterr().out == "SaveResult(inserted=1, updated=0, unchanged=0)\n"
    with pytest.raises(duckdb.ConnectionException):
        names["store"].list_chunks(limit=1)


def test_a_store_is_closed_when_its_block_ends_in_an_error(project):
    conn = duckdb.connect(str(project.database_path))
    with pytest.raises(InvalidRecord), VectorStore(connection=conn) as store:
        store.save_embedding(VectorEmbedding.create_new("c" * 64, "none", "0" * 64, [1.0]))
    with pytest.raises(duckdb.ConnectionException):
        conn.execute("select 1")


# Save, get, list


def test_spaces(store):
    space = EmbeddingSpace.create_new("hash", "made", 4, preprocess_policy={"query_prefix": "q: "}, description="d")
    assert store.save_embedding_space(space) == ADDED
    assert store.save_embedding_space(space) == UNCHANGED
    stored = store.get_embedding_space(space.embedding_space_id)
    assert replace(stored, updated_utc=None) == space
    assert store.get_embedding_space_by_key(space.space_key) == stored
    assert store.save_embedding_space(replace(stored, is_active=False, description="retired")) == CHANGED
    assert stored.space_key not in [each.space_key for each in store.list_embedding_spaces()]
    assert stored.space_key in [each.space_key for each in store.list_embedding_spaces(active_only=False)]
    with pytest.raises(InvalidRecord, match="dimensions cannot change"):
        store.save_embedding_space(replace(stored, dimensions=5))
    other = EmbeddingSpace.create_new("hash", "another", 4, space_key=stored.space_key)
    with pytest.raises(InvalidRecord, match=f"space_key '{stored.space_key}' belongs to space"):
        store.save_embedding_space(other)
    assert store.get_embedding_space("unknown") is None


def test_a_space_without_a_key_gets_the_one_that_create_new_gives(store):
    space = EmbeddingSpace.create_new("hash", "all mini/LM", 4, model_tag="v1")
    store.save_embedding_space(replace(space, space_key=None, preprocess_policy={"template": None}))
    stored = store.get_embedding_space(space.embedding_space_id)
    assert (stored.space_key, stored.preprocess_policy) == (space.space_key, None)


def test_jobs_and_runs(store, space):
    job = VectorJob.create_new(
        JobType.DRIFT_TEST, {"é": [1, None]}, embedding_space_id=space.embedding_space_id, by_hand_flag=True
    )
    run = VectorRun.create_new(job.job_id, "worker-1", options={"batch_size": 4})
    assert [store.save_job(job), store.save_run(run)] == [ADDED, ADDED]
    assert [store.save_job(job), store.save_run(run)] == [UNCHANGED, UNCHANGED]
    assert store.get_job(job.job_id) == job
    assert store.get_run(run.run_id) == run

    now = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
    taken = replace(job, status=JobStatus.RUNNING, attempt_count=1, locked_by="worker-1", locked_utc=now)
    ended = replace(run, status=RunStatus.FAILED, error="boom", metrics={"seconds": 0.25}, completed_utc=now)
    assert [store.save_job(taken), store.save_run(ended)] == [CHANGED, CHANGED]
    assert store.get_job(job.job_id) == taken
    assert store.get_run(run.run_id) == ended
    assert store.list_jobs(status="RUNNING", job_type=JobType.DRIFT_TEST) == [taken]
    assert store.list_runs(job_id=job.job_id) == [ended]
    assert len(store.list_jobs(limit=1)) == len(store.list_runs(limit=1)) == 1

    with pytest.raises(InvalidRecord, match="job_type cannot change"):
        store.save_job(replace(taken, job_type=JobType.EMBED_CHUNKS))
    with pytest.raises(InvalidRecord, match="worker_id cannot change"):
        store.save_run(replace(ended, worker_id="worker-2"))
    assert store.get_job("unknown") is store.get_run("unknown") is None


def test_sources_and_chunks(store):
    sources = [VectorSourceRegistry(f"note:{i}", "note", {"file": i}, tags=["a"], title="N") for i in range(3)]
    assert store.save_sources(sources) == SaveResult(inserted=3)
    assert store.save_sources(sources) == SaveResult(unchanged=3)
    assert store.get_source("note:1") == sources[1]
    assert store.list_sources("note") == sources
    assert store.list_sources("note", limit=2) == sources[:2]
    failed = replace(sources[2], status=SourceStatus.ERROR, error_message="unreadable")
    assert store.save_sources([sources[0], failed]) == SaveResult(updated=1, unchanged=1)
    assert store.get_source("note:2") == failed

    chunks = Chunker(ChunkingPolicy(20, 5)).chunk("One and two and three and four, and 五. " * 3, "note:1", "note")
    assert store.save_chunks(chunks) == SaveResult(inserted=len(chunks))
    assert store.save_chunks(chunks) == SaveResult(unchanged=len(chunks))
    first = store.get_chunk(chunks[0].chunk_id)
    assert replace(first, updated_utc=None) == chunks[0]
    assert len(store.list_chunks("note:1")) == len(chunks)
    assert store.chunk_exists(first.chunk_id)
    assert not store.chunk_exists("unknown")


def test_list_chunks_counts_only_current_ones(store):
    retired, *current = Chunker(ChunkingPolicy(4, 0)).chunk("abcdefghijkl", "note:1", "note")
    store.save_chunks([replace(retired, retired_utc=datetime.now(UTC)), *current])
    assert len(store.list_chunks("note:1", include_retired=True)) == 3
    assert len(store.list_chunks("note:1")) == 2
    assert len(store.list_chunks("note:1", limit=2)) == 2
    assert retired.chunk_id not in {chunk.chunk_id for chunk in store.list_chunks()}


def test_embeddings(store, space, chunk, embedding, caplog):
    assert store.save_embedding(embedding) == ADDED
    caplog.set_level("INFO")
    again = replace(embedding, embedding_id="another", vector=[1.0, *[0.0] * 7])
    again = replace(again, vector_sha256=compute_vector_hash(again.vector))
    assert store.save_embedding(again) == UNCHANGED
    assert f"embedding of chunk {chunk.chunk_id} is there already" in caplog.text
    assert store.list_embeddings(chunk.chunk_id) == [embedding]
    assert store.get_embedding("another") is None

    others = store.list_chunks("page:apollo")
    second = store.get_or_create_embedding_space("hash", "second", 8)
    batch = [
        VectorEmbedding.create_new(each.chunk_id, second.embedding_space_id, each.content_sha256, VECTOR)
        for each in others
    ]
    assert store.save_embeddings([*batch, batch[0]]) == SaveResult(inserted=len(others), unchanged=1)
    assert store.save_embeddings(batch) == SaveResult(unchanged=len(others))
    assert store.save_embeddings([]) == SaveResult()
    assert len(store.list_embeddings(embedding_space_id=second.embedding_space_id)) == len(others)


def test_vectors_that_another_run_has_written_meanwhile_are_left(store):
    space = store.get_or_create_embedding_space("hash", "meanwhile", 8)

    def batch(chunks, first):
        made = VectorBatch(space, None)
        for each in chunks:
            vector = np.array([first, *[1.0] * (space.dimensions - 1)], dtype=np.float32)
            made.add([each.chunk_id], each.content_sha256, vector, (None, None, None, None))
        return made

    (one, *others) = store.list_chunks("page:apollo")
    assert others
    assert store.save_vector_batch(batch([one], 2.0)) == ADDED
    assert store.save_vector_batch(batch([one, *others], 3.0)) == SaveResult(inserted=len(others), unchanged=1)
    firsts = {
        each.chunk_id: each.vector[0] for each in store.list_embeddings(embedding_space_id=space.embedding_space_id)
    }
    assert firsts == {one.chunk_id: 2.0, **{each.chunk_id: 3.0 for each in others}}


def test_an_embedding_of_an_earlier_text_is_taken(store, space, chunk, embedding):
    changed = replace(
        chunk, content="Another text.", content_sha256=compute_content_hash("Another text."), byte_count=13
    )
    assert store.save_chunk(changed) == CHANGED
    assert store.save_embedding(embedding) == ADDED
    current = store.engine.query(
        f"select count(*) from {store.engine.table('embedding_current')} where source_id = 'note:1'"
    )
    assert current == [(0,)], "it is history, and never found"


def test_failures(store, space, chunk):
    failure = EmbeddingFailure.create_new(
        chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, "too_long", "300 tokens"
    )
    assert store.save_embedding_failures([failure]) == ADDED
    assert store.save_embedding_failures([replace(failure, attempt_count=2)]) == CHANGED
    assert [each.attempt_count for each in store.list_embedding_failures(space.embedding_space_id)] == [2]
    assert store.get_embedding_failure(failure.embedding_failure_id) == replace(failure, attempt_count=2)
    assert store.get_embedding_failure("unknown") is None


def test_bulk_forms(store, space, chunk):
    spaces = [EmbeddingSpace.create_new("hash", f"bulk-{i}", 4) for i in range(3)]
    jobs = [VectorJob.create_new(JobType.DRIFT_TEST, {"number": i}, by_hand_flag=True) for i in range(3)]
    runs = [VectorRun.create_new(job.job_id, "worker-1") for job in jobs]
    retrievals = [VectorRetrieval.create_new(space.embedding_space_id, f"{i}?", 5) for i in range(3)]
    for save, records in (
        (store.save_embedding_spaces, spaces),
        (store.save_jobs, jobs),
        (store.save_runs, runs),
        (store.save_retrievals, retrievals),
    ):
        assert save(iter(records)) == SaveResult(inserted=3)
        assert save(records) == SaveResult(unchanged=3)
        assert save([]) == SaveResult()
    assert {each.job_id for each in jobs} <= {each.job_id for each in store.list_jobs()}
    assert [store.list_runs(job.job_id) for job in jobs] == [[run] for run in runs]

    more = [VectorRetrieval.create_new(space.embedding_space_id, "more?", 5) for _ in range(2)]
    hits = [VectorRetrievalHit(each.retrieval_id, 1, chunk.chunk_id, 0.5) for each in more]
    assert store.save_retrievals(more, hits) == SaveResult(inserted=4)
    assert [store.list_retrieval_hits(each.retrieval_id)[0].score for each in more] == [0.5, 0.5]


def test_retrievals(store, space, chunk):
    retrieval = VectorRetrieval.create_new(
        space.embedding_space_id, "Où?", 5, query_embedding=VECTOR, filters={"source_type": ["note"]}, latency_ms=1.5
    )
    hits = [VectorRetrievalHit(retrieval.retrieval_id, 1, chunk.chunk_id, 0.75, {"note": "ü"})]
    assert store.save_retrieval(retrieval, hits) == SaveResult(inserted=2)
    assert store.save_retrieval(retrieval, hits) == SaveResult(unchanged=2)
    assert store.get_retrieval(retrieval.retrieval_id) == replace(retrieval, query_sha256=compute_content_hash("Où?"))
    assert store.list_retrieval_hits(retrieval.retrieval_id) == [replace(hits[0], content_sha256=chunk.content_sha256)]
    assert store.list_retrievals(limit=1)[0].retrieval_id == retrieval.retrieval_id
    another = store.list_chunks("page:apollo", limit=1)[0].chunk_id
    assert store.save_retrieval_hits([VectorRetrievalHit(retrieval.retrieval_id, 2, another, 0.5)]) == ADDED
    assert store.get_retrieval("unknown") is None
    assert store.get_retrieval_hit(retrieval.retrieval_id, 2).chunk_id == another
    assert store.get_retrieval_hit(retrieval.retrieval_id, 3) is None


# Spaces of several sessions at once


def test_sessions_that_create_a_space_at_once_make_one(project):
    with project.connect() as connection:
        stores = [VectorStore(connection=connection.cursor()) for _ in range(8)]

        def create(store):
            return [store.get_or_create_embedding_space("hash", f"shared-{i}", 4).embedding_space_id for i in range(10)]

        with ThreadPoolExecutor(len(stores)) as pool:
            created = list(pool.map(create, stores))
    assert all(ids == created[0] for ids in created)
    assert len(set(created[0])) == 10
    assert project.query("select count(*) from embedding_space where model_name like 'shared-%'") == [(10,)]


def test_a_space_of_the_seed_is_the_one_that_python_makes(store, space):
    before = row_counts(store)
    assert store.get_or_create_embedding_space(provider="hash", model_name="hash", dimensions=8) == space
    assert row_counts(store) == before
    inactive = replace(space, is_active=False)
    store.save_embedding_space(inactive)
    assert store.get_or_create_embedding_space("hash", "hash", 8) == store.get_embedding_space(space.embedding_space_id)
