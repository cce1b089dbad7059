"""VectorStore on a DuckDB connection: what it saves it gives back, and what it refuses leaves no trace."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone

import duckdb
import pytest

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
from vector.errors import ConfigurationError, InvalidRecord
from vector.ledger_io import SaveResult
from vector.store import VectorStore

ADDED, UNCHANGED, CHANGED = SaveResult(inserted=1), SaveResult(unchanged=1), SaveResult(updated=1)
VECTOR = [0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]


@pytest.fixture
def store(project):
    with project.store() as opened:
        yield opened


@pytest.fixture
def space(store):
    return store.get_embedding_space_by_key("hash")


@pytest.fixture
def chunk(store):
    """A chunk of Python's own, without a vector."""
    store.save_source(VectorSourceRegistry("note:1", "note", {"file": "n"}))
    (made,) = Chunker(ChunkingPolicy()).chunk("The text of a note.", "note:1", "note")
    store.save_chunk(made)
    return made


@pytest.fixture
def embedding(space, chunk):
    """A vector for the chunk that is not saved."""
    return VectorEmbedding.create_new(chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, VECTOR)


def row_counts(store):
    connection = store.engine.connection
    tables = connection.execute("select table_name from duckdb_tables() where schema_name = 'vector'").fetchall()
    return {name: connection.execute(f"select count(*) from {name}").fetchone() for (name,) in tables}


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


def test_jobs_and_runs(store, space):
    job = VectorJob.create_new(JobType.DRIFT_TEST, {"é": [1, None]}, embedding_space_id=space.embedding_space_id)
    run = VectorRun.create_new(job.job_id, "worker-1", options={"batch_size": 4})
    assert [store.save_job(job), store.save_run(run)] == [ADDED, ADDED]
    assert [store.save_job(job), store.save_run(run)] == [UNCHANGED, UNCHANGED]
    assert store.get_job(job.job_id) == job
    assert store.get_run(run.run_id) == run

    now = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=timezone.utc)
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
    store.save_chunks([replace(retired, retired_utc=datetime.now(timezone.utc)), *current])
    assert len(store.list_chunks("note:1", include_retired=True)) == 3
    assert len(store.list_chunks("note:1")) == 2
    assert len(store.list_chunks("note:1", limit=2)) == 2
    assert [retired.chunk_id in found for found in ([c.chunk_id for c in store.list_chunks()],)] == [False]


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


# Refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vector": VECTOR[:7]}, "the vector has 7 elements, space hash has 8"),
        ({"vector": [*VECTOR, 0.0]}, "the vector has 9 elements, space hash has 8"),
        ({"vector": [*VECTOR[:7], math.nan]}, "nan at position 7 is not finite"),
        ({"vector": [math.inf, *VECTOR[1:]]}, "inf at position 0 is not finite"),
        ({"vector": [1e39, *VECTOR[1:]]}, "1e\\+39 at position 0 is not finite as float32"),
        ({"vector": [*VECTOR[:7], 0.25]}, "vector_sha256 is not the hash of the vector"),
        ({"chunk_id": "unknown"}, "chunk unknown is not in the ledger"),
        ({"embedding_space_id": "unknown"}, "embedding space unknown is not in the ledger"),
        ({"input_content_sha256": "0" * 64}, "never had a text with the hash 0000"),
        ({"run_id": "unknown"}, "run unknown is not in the ledger"),
        ({"embedding_id": "a\0b"}, "embedding.embedding_id: NUL U\\+0000 at position 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_wrong_embedding_is_refused_with_its_whole_batch(store, space, embedding, change, message):
    other = store.list_chunks("page:apollo", limit=1)[0]
    right = VectorEmbedding.create_new(
        other.chunk_id, store.get_or_create_embedding_space("hash", "second", 8).embedding_space_id,
        other.content_sha256, VECTOR,
    )  # fmt: skip
    before = row_counts(store)
    with pytest.raises(InvalidRecord, match=message):
        store.save_embeddings([right, replace(embedding, **change)])
    assert row_counts(store) == before
    assert store.save_embedding(right) == ADDED, "the store goes on"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": "a\0b"}, "chunk.content: NUL U\\+0000 at position 1"),
        ({"content": "a\ud800b"}, "lone surrogate U\\+D800 at position 1"),
        ({"content": "Another text."}, "content_sha256 is not the hash of its content"),
        ({"byte_count": 1}, "byte_count is not the length of its content"),
        ({"source_ref": {"file": "a\ud800"}}, "chunk.source_ref_json: lone surrogate"),
        ({"policy": {"chunk_size": math.nan}}, "no canonical JSON"),
    ],
)
def test_a_wrong_chunk_is_refused_with_its_whole_batch(store, change, message):
    right, wrong = Chunker(ChunkingPolicy(10, 0)).chunk("The text of a note.", "note:9", "note")
    if change.get("content") == "a\0b":
        change = {**change, "content_sha256": compute_content_hash("a\0b"), "byte_count": 3}
    before = row_counts(store)
    with pytest.raises(InvalidRecord, match=message):
        store.save_chunks([right, replace(wrong, **change)])
    assert row_counts(store) == before


@pytest.mark.parametrize(
    ("hit", "message"),
    [
        ({"chunk_id": "unknown"}, "chunk unknown is not in the ledger"),
        ({"chunk_id": "unknown", "content_sha256": "0" * 64}, "chunk unknown is not in the ledger"),
        ({"content_sha256": "0" * 64}, "never had a text with the hash"),
        ({"retrieval_id": "another"}, "a hit names another retrieval"),
    ],
)
def test_a_wrong_hit_is_refused_with_its_retrieval(store, space, chunk, hit, message):
    retrieval = VectorRetrieval.create_new(space.embedding_space_id, "A question", 5)
    right = VectorRetrievalHit(retrieval.retrieval_id, 1, chunk.chunk_id, 0.5)
    before = row_counts(store)
    with pytest.raises(InvalidRecord, match=message):
        store.save_retrieval(retrieval, [right, replace(right, rank=2, **hit)])
    assert row_counts(store) == before


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_texts_that_cannot_be_stored_are_refused(store, space, text):
    before = row_counts(store)
    for save, record in (
        (store.save_retrieval, VectorRetrieval.create_new(space.embedding_space_id, text, 5)),
        (store.save_job, VectorJob.create_new(JobType.DRIFT_TEST, {"key": text})),
        (store.save_source, VectorSourceRegistry("note:9", "note", {}, title=text)),
    ):
        with pytest.raises(InvalidRecord, match="NUL|lone surrogate"):
            save(record)
    with pytest.raises(InvalidRecord, match="source_registry holds VectorSourceRegistry, not dict"):
        store.save_sources([{"source_id": "note:9"}])
    assert row_counts(store) == before


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


# Connections


def test_an_open_transaction_of_the_caller_is_neither_committed_nor_lost(store, embedding):
    connection = store.engine.connection
    connection.execute("begin transaction")
    connection.execute("create table mine (number integer)")
    with pytest.raises(ConfigurationError, match="has a transaction open; commit it or roll it back first"):
        store.save_embedding(embedding)
    connection.execute("commit")
    assert connection.execute("select count(*) from mine").fetchone() == (0,)
    assert store.save_embedding(embedding) == ADDED


@pytest.mark.parametrize("connection", [object(), "warehouse.duckdb", 5])
def test_a_connection_of_another_kind_is_refused(connection):
    with pytest.raises(ConfigurationError, match="give a duckdb, pyodbc or mssql_python connection"):
        VectorStore(connection=connection)


def test_a_store_needs_a_connection_and_the_schema():
    with pytest.raises(ConfigurationError, match="needs a connection, or an engine"):
        VectorStore()
    with pytest.raises(ConfigurationError, match="schema vector lacks embedding_space, .*; run `dbt build` first"):
        VectorStore(connection=duckdb.connect())
    with pytest.raises(ConfigurationError, match="not a plain SQL identifier"):
        VectorStore(connection=duckdb.connect(), schema="a; drop")
