"""An indexer written for the runtime's predecessor, with the names it knows, and one in plain SQL: what they write is
as good as dbt's own, and a second run skips it."""

import json
from datetime import UTC, datetime

import pytest

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import (
    SourceStatus,
    VectorChunk,
    VectorEmbedding,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorSourceRegistry,
    compute_content_hash,
    compute_vector_hash,
)
from vector.providers import open_provider

pytestmark = pytest.mark.long

POLICY = ChunkingPolicy(60, 10, 100, "theirs-1")
TEXTS = {
    "lake:geysers": "Geysers throw up columns of water.\n\nThe best known are in Iceland, and on a moon of Saturn.",
    "lake:日本": "日本の探査機は小惑星から試料を持ち帰った。  Trailing blanks, and a surrogate pair: 𝄞. " * 3,
}


def index(store, space, texts, embed):
    """What became of each source, by its id. Nothing is caught: what fails, fails."""
    outcome = {}
    for source_id, text in texts.items():
        sha256 = compute_content_hash(text)
        if store.source_already_indexed(source_id, sha256):
            outcome[source_id] = "skipped"
            continue
        ref = {"lake_uri": source_id}
        store.save_source_registry(VectorSourceRegistry(source_id, "note", ref, status=SourceStatus.PENDING))
        chunks = Chunker(POLICY).chunk(text, source_id, "note", ref)
        for chunk in chunks:
            store.save_chunk(
                VectorChunk(
                    chunk_id=chunk.chunk_id,
                    source_id=source_id,
                    source_type=chunk.source_type,
                    source_ref=chunk.source_ref,
                    offsets=chunk.offsets,
                    content=chunk.content,
                    content_sha256=chunk.content_sha256,
                    byte_count=chunk.byte_count,
                    policy=chunk.policy,
                )
            )
        for chunk in chunks:
            if not store.embedding_exists(chunk.chunk_id, space.embedding_space_id, chunk.content_sha256):
                vector = embed(chunk.content)
                store.save_embedding(
                    VectorEmbedding.create_new(chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, vector)
                )
        store.save_source_registry(
            VectorSourceRegistry(
                source_id=source_id,
                source_type="note",
                source_ref=ref,
                content_sha256=sha256,
                last_indexed_utc=datetime.now(UTC),
                chunk_count=len(chunks),
                tags={"lang": "en"},
                status=SourceStatus.INDEXED,
            )
        )
        outcome[source_id] = "indexed"
    return outcome


def index_in_sql(connection, space_key, texts, embed):
    """The same in INSERTs with the natural columns. Ids and hashes are SQL's own, but for a vector's."""
    outcome = {}
    for source_id, text in texts.items():
        if connection.execute(
            "select 1 from source_registry where source_id = ? and content_sha256 = sha256(?) and status = 'indexed'",
            [source_id, text],
        ).fetchone():
            outcome[source_id] = "skipped"
            continue
        connection.execute(
            "insert into source_registry (source_id, source_type, source_ref_json, status)"
            " values (?, 'note', '{}', 'pending') on conflict do nothing",
            [source_id],
        )
        windows = [(i, start, text[start : start + 60]) for i, start in enumerate(range(0, len(text), 60))]
        connection.executemany(
            "insert into chunk (chunk_id, source_id, source_type, source_ref_json, offsets_json, content,"
            " content_sha256, byte_count, policy_json) select"
            " sha256(concat(given.source_id, ':', given.i, ':', given.lo, ':', given.hi, ':theirs-2')),"
            " given.source_id, 'note', '{}',"
            " json_object('chunk_index', given.i, 'start_offset', given.lo, 'end_offset', given.hi),"
            ' given.content, sha256(given.content), strlen(given.content), \'{"policy_version":"theirs-2"}\''
            " from (select ? as source_id, ? as i, ? as lo, ? as hi, ? as content) as given",
            [(source_id, i, start, start + len(content), content) for i, start, content in windows],
        )
        connection.execute(
            "insert into chunk_version (chunk_id, content_sha256, content)"
            " select chunk_id, content_sha256, content from chunk where source_id = ?",
            [source_id],
        )
        for chunk_id, content in connection.execute(
            "select chunk_id, content from chunk where source_id = ?", [source_id]
        ).fetchall():
            vector = [float(each) for each in embed(content)]
            connection.execute(
                "insert into embedding (chunk_id, embedding_space_id, dimensions, input_content_sha256, vector,"
                " vector_sha256) select chunk.chunk_id, space.embedding_space_id, space.dimensions,"
                " chunk.content_sha256, cast(? as float[]), ? from chunk cross join embedding_space as space"
                " where chunk.chunk_id = ? and space.space_key = ?",
                [vector, compute_vector_hash(vector), chunk_id, space_key],
            )
        connection.execute(
            "update source_registry set status = 'indexed', content_sha256 = sha256(?), chunk_count = ?,"
            " last_indexed_utc = current_timestamp at time zone 'UTC' where source_id = ?",
            [text, len(windows), source_id],
        )
        outcome[source_id] = "indexed"
    return outcome


def test_what_both_indexers_write_passes_every_test_of_dbt(project):
    def embed(text):
        return provider.embed([text]).vectors[0]

    texts_of_sql = {f"sql:{source_id}": text for source_id, text in TEXTS.items()}
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        provider = open_provider(space)
        assert index(store, space, TEXTS, embed) == dict.fromkeys(TEXTS, "indexed")
        assert index(store, space, TEXTS, embed) == dict.fromkeys(TEXTS, "skipped")
        (hit, *_) = store.list_chunks("lake:geysers")
        logged = VectorRetrieval.create_new(space.embedding_space_id, "Which moon?", 5)
        store.save_retrieval_with_hits(logged, [VectorRetrievalHit(logged.retrieval_id, 1, hit.chunk_id, 0.5)])
    with project.connect() as connection:
        assert index_in_sql(connection, "hash", texts_of_sql, embed) == dict.fromkeys(texts_of_sql, "indexed")
        assert index_in_sql(connection, "hash", texts_of_sql, embed) == dict.fromkeys(texts_of_sql, "skipped")
        given = json.dumps({"source_ids": list(texts_of_sql)})
        connection.execute(
            "insert into job (job_type, input_json, embedding_space_id)"
            " select 'EMBED_CHUNKS', ?, embedding_space_id from embedding_space where space_key = 'hash'",
            [given],
        )
        connection.execute(
            "insert into retrieval (embedding_space_id, query_text, query_sha256, top_k)"
            " select embedding_space_id, 'Which?', sha256('Which?'), 5 from embedding_space where space_key = 'hash'"
        )
        connection.execute(
            "insert into retrieval_hit (retrieval_id, rank, chunk_id, content_sha256, score)"
            " select retrieval.retrieval_id, 1, chunk.chunk_id, chunk.content_sha256, 0.5 from retrieval"
            " cross join (select * from chunk order by chunk_id limit 1) as chunk where query_text = 'Which?'"
        )
    assert project.query("select count(*) from embedding_pending where source_type = 'note'") == [(0,)]
    done = project.vector("worker", "--once")
    assert done.exit_code == 0, done.stderr
    assert project.query("select distinct status from job where input_json like '%sql:%'") == [("SUCCEEDED",)]
    assert project.vector("verify").exit_code == 0

    built = project.dbt("build")
    assert built.success, built.output
    assert built.ended("warn") == set()
    with project.store() as store:
        assert index(store, space, TEXTS, embed) == dict.fromkeys(TEXTS, "skipped")
    with project.connect() as connection:
        assert index_in_sql(connection, "hash", texts_of_sql, embed) == dict.fromkeys(texts_of_sql, "skipped")
