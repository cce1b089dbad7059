"""The names and job inputs of the runtime's predecessor: what its callers write works here, or is refused in a line."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from vector.contracts.models import (
    SourceStatus,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorSourceRegistry,
    compute_content_hash,
)
from vector.errors import InvalidRecord
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
