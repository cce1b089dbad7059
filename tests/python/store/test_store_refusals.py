"""VectorStore on a DuckDB connection: what it refuses it says clearly, and leaves no trace of."""

import math
from dataclasses import replace

import duckdb
import pytest
from support import VECTOR, row_counts

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import (
    EmbeddingFailure,
    EmbeddingSpace,
    JobType,
    VectorEmbedding,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorRun,
    VectorSourceRegistry,
    compute_content_hash,
)
from vector.errors import ConfigurationError, InvalidRecord
from vector.store import VectorStore
from vector.store.ledger_io import SaveResult

ADDED = SaveResult(inserted=1)


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
        ({"embedding_id": "a\0b"}, "embedding_id: NUL U\\+0000 at position 1"),
        ({"vector": None}, "vector: is None"),
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


def test_what_a_constraint_refuses_is_an_invalid_record_and_not_written(store, space, chunk, embedding):
    earlier = VectorEmbedding.create_new(
        chunk.chunk_id, store.get_or_create_embedding_space("hash", "second", 8).embedding_space_id,
        chunk.content_sha256, VECTOR,
    )  # fmt: skip
    failure = EmbeddingFailure.create_new("unknown", space.embedding_space_id, "0" * 64, "too_long", "300 tokens")
    store.save_embedding(earlier)
    before = row_counts(store)
    for save, record, message in (
        (store.save_embedding, replace(embedding, run_id="unknown"), "embedding: .*foreign key.*run_id: unknown"),
        (store.save_embedding, replace(embedding, embedding_id=earlier.embedding_id), "embedding: Duplicate key"),
        (
            store.save_job,
            VectorJob.create_new(JobType.DRIFT_TEST, {}, by_hand_flag=True, embedding_space_id="unknown"),
            "job: .*foreign key.*embedding_space_id: unknown",
        ),
        (
            store.save_job,
            VectorJob.create_new(JobType.DRIFT_TEST, {}, by_hand_flag=True, max_attempts=0),
            "job: CHECK constraint failed .*max_attempts >= 1",
        ),
        (store.save_job, VectorJob.create_new(JobType.DRIFT_TEST, None), "job .*: input_json is null; give a value"),
        (store.save_run, VectorRun.create_new("unknown", "w"), "run: .*foreign key.*job_id: unknown"),
        (
            store.save_retrieval,
            VectorRetrieval.create_new(space.embedding_space_id, "?", 5, run_id="unknown"),
            "retrieval: .*foreign key.*run_id: unknown",
        ),
        (
            store.save_retrieval_hits,
            [VectorRetrievalHit("unknown", 1, chunk.chunk_id, 0.5)],
            "retrieval_hit: .*foreign key.*retrieval_id: unknown",
        ),
        (store.save_embedding_failures, [failure], "embedding_failure: .*foreign key.*chunk_id: unknown"),
    ):
        with pytest.raises(InvalidRecord, match=message) as refused:
            save(record)
        assert "\n" not in str(refused.value)
        assert row_counts(store) == before
    assert store.save_embedding(embedding) == ADDED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"embedding_space_id": "not-a-digest"},
            "embedding space not-a-digest: the id of this identity is [0-9a-f-]{36}",
        ),
        ({"model_name": "another"}, "the id of this identity is"),
        ({"preprocess_policy": {"query_prefix": "q: "}}, "the id of this identity is"),
        ({"dimensions": 0}, "dimensions: must be a positive integer, is 0"),
        ({"distance_metric": "manhattan"}, "distance_metric: must be one of"),
    ],
)
def test_a_space_whose_id_is_not_that_of_its_identity_is_refused_with_its_batch(store, change, message):
    right, wrong = (EmbeddingSpace.create_new("hash", name, 4) for name in ("right", "wrong"))
    before = row_counts(store)
    with pytest.raises(InvalidRecord, match=message):
        store.save_embedding_spaces([right, replace(wrong, **change)])
    with pytest.raises(InvalidRecord, match=message):
        store.save_embedding_space(replace(wrong, **change))
    assert row_counts(store) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_embedding": VECTOR[:7]}, "the vector has 7 elements, space hash has 8"),
        ({"query_embedding": [*VECTOR[:7], math.nan]}, "nan at position 7 is not finite"),
        ({"query_embedding": [0.0] * 8}, "a vector of zeros has no direction"),
        ({"embedding_space_id": "unknown"}, "embedding space unknown is not in the ledger"),
        ({"embedding_space_id": "unknown", "query_embedding": None}, "embedding space unknown is not in the ledger"),
    ],
)
def test_a_wrong_retrieval_is_refused_with_its_batch(store, space, change, message):
    right, wrong = (
        VectorRetrieval.create_new(space.embedding_space_id, "A question", 5, query_embedding=VECTOR) for _ in range(2)
    )
    before = row_counts(store)
    with pytest.raises(InvalidRecord, match=message):
        store.save_retrievals([right, replace(wrong, **change)])
    assert row_counts(store) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": "a\0b"}, "chunk.content: NUL U\\+0000 at position 1"),
        ({"content": "a\ud800b"}, "lone surrogate U\\+D800 at position 1"),
        ({"content": "Another text."}, "content_sha256 is not the hash of its content"),
        ({"byte_count": 1}, "byte_count is not the length of its content"),
        ({"source_ref": {"file": "a\ud800"}}, "chunk.source_ref_json: lone surrogate"),
        ({"policy": {"chunk_size": math.nan}}, "no canonical JSON"),
        ({"offsets": {"start_offset": 3, "end_offset": 2}}, "end_offset 2 is before start_offset 3"),
        ({"offsets": {"start_offset": -1}}, "start_offset must be a whole number from 0, is -1"),
        ({"offsets": {"end_offset": 1.5}}, "end_offset must be a whole number from 0, is 1.5"),
        ({"offsets": {"chunk_index": True}}, "chunk_index must be a whole number from 0, is True"),
        ({"offsets": [0, 1]}, "offsets must be an object, is list"),
        ({"chunk_id": ""}, "chunk.chunk_id: is empty"),
        ({"chunk_id": "a" * 65}, "chunk.chunk_id: has 65 characters, the ledger holds 64"),
        ({"chunk_id": 5}, "chunk.chunk_id: must be a text, is int"),
        ({"source_id": "a" * 401}, "chunk.source_id: has 401 characters, the ledger holds 400"),
        ({"source_type": "😀" * 51}, "chunk.source_type: has 102 characters in UTF-16, the ledger holds 100"),
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
        (store.save_job, VectorJob.create_new(JobType.DRIFT_TEST, {}, by_hand_flag=True, last_error=text)),
        (store.save_source, VectorSourceRegistry("note:9", "note", {}, title=text)),
    ):
        with pytest.raises(InvalidRecord, match="NUL|lone surrogate"):
            save(record)
    for save in (store.save_chunks, store.save_embeddings, store.save_embedding_spaces, store.save_retrievals):
        with pytest.raises(InvalidRecord, match="holds .*, not dict"):
            save([{"source_id": "note:9"}])
    with pytest.raises(InvalidRecord, match="source_registry holds VectorSourceRegistry, not dict"):
        store.save_sources([{"source_id": "note:9"}])
    assert row_counts(store) == before


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
    with pytest.raises(
        ConfigurationError,
        match="^an in-memory database: schema vector lacks embedding_space, job, run and 19 more; run `dbt build`",
    ):
        VectorStore(connection=duckdb.connect())
    with pytest.raises(ConfigurationError, match="schema a; drop lacks embedding_space"):
        VectorStore(connection=duckdb.connect(), schema="a; drop")


def test_the_message_names_the_database_and_what_it_lacks(project):
    with project.connect() as connection:
        connection.execute("drop view embedding_current")
        with pytest.raises(ConfigurationError) as refused:
            VectorStore(connection=connection)
    assert str(refused.value) == (
        f"{project.database_path}: schema vector lacks embedding_current; run `dbt build` first"
    )
