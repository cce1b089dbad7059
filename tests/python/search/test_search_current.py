"""Search finds current chunks and no others: whatever chunks have become, numpy over what they now are agrees."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vector.contracts.models import VectorEmbedding, compute_content_hash
from vector.engines.base import SearchRequest
from vector.engines.filters import SearchFilters

# What a chunk's text may be: two have vectors, of two directions, and the third has none yet.
TEXTS = ("first", "second", "pending")
COUNT = 24
# Whole numbers, so that scores are exact and many tie. A cosine is not: test_search.py compares those.
SCORES = {
    "dot": lambda vectors, query: vectors @ query,
    "euclidean": lambda vectors, query: -np.linalg.norm(vectors - query, axis=1),
}
states = st.lists(st.tuples(st.sampled_from(TEXTS), st.booleans()), min_size=COUNT, max_size=COUNT)
queries = st.lists(st.integers(-2, 2), min_size=4, max_size=4)


def with_text(chunk, text, retired=False):
    content = f"{chunk.chunk_id} {text}"
    return replace(
        chunk,
        content=content,
        content_sha256=compute_content_hash(content),
        byte_count=len(content),
        retired_utc=datetime(2030, 1, 1, tzinfo=UTC) if retired else None,
    )


def best(chunks, scores, top_k):
    """Ids of the best, ties by id."""
    order = sorted(range(len(chunks)), key=lambda i: (-scores[i], chunks[i].chunk_id))
    return [chunks[i].chunk_id for i in order[:top_k]]


@pytest.mark.parametrize("metric", SCORES)
def test_stale_and_retired_vectors_are_never_found(warehouse, metric):
    store = warehouse.store
    space = store.get_or_create_embedding_space("grid", "grid", 4, normalize_flag=False, distance_metric=metric)
    chunks = store.list_chunks()[:: len(store.list_chunks()) // COUNT][:COUNT]
    vectors = np.random.default_rng(3).integers(-2, 3, (2, COUNT, 4)).astype(np.float32)
    for text, of_text in zip(TEXTS, vectors, strict=False):
        changed = [with_text(chunk, text) for chunk in chunks]
        store.save_chunks(changed)
        store.save_embeddings(
            [
                VectorEmbedding.create_new(chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, vector)
                for chunk, vector in zip(changed, of_text, strict=True)
            ]
        )
    types = sorted({chunk.source_type for chunk in chunks})
    sources = sorted({chunk.source_id for chunk in chunks})
    filters = st.builds(
        SearchFilters,
        st.lists(st.sampled_from(types), unique=True, max_size=2).map(tuple),
        st.lists(st.sampled_from(sources), unique=True, max_size=5).map(tuple),
    )

    @settings(max_examples=40, deadline=None)
    @given(states, filters, queries, st.integers(1, COUNT + 1))
    def finds_what_numpy_finds(become, filters, query, top_k):
        now = [with_text(chunk, text, retired) for chunk, (text, retired) in zip(chunks, become, strict=True)]
        store.save_chunks(now)
        kept = [
            i
            for i, (text, retired) in enumerate(become)
            if text != "pending"
            and not retired
            and chunks[i].source_type in (filters.source_types or types)
            and chunks[i].source_id in (filters.source_ids or sources)
        ]
        current = np.array([vectors[TEXTS.index(become[i][0]), i] for i in kept]).reshape(-1, 4)
        scores = SCORES[metric](current, np.array(query))

        request = SearchRequest(space.embedding_space_id, np.array(query, np.float32), metric, top_k, filters)
        hits, compared, mean = store.engine.search(request)

        assert [hit.chunk_id for hit in hits] == best([now[i] for i in kept], scores, top_k)
        assert [hit.score for hit in hits] == pytest.approx(sorted(scores, reverse=True)[:top_k], abs=1e-5)
        texts = {chunk.chunk_id: chunk.content_sha256 for chunk in now}
        assert all(hit.content_sha256 == texts[hit.chunk_id] for hit in hits)
        assert compared == len(kept)
        assert mean == pytest.approx(np.mean(scores) if kept else 0, abs=1e-5)

    finds_what_numpy_finds()


def test_what_every_search_reads_is_stored_uncompressed(warehouse):
    created = dict(warehouse.rows("select table_name, sql from duckdb_tables() where schema_name = 'vector'"))
    plain = {
        table: set(re.findall(r"(\w+) [A-Z\[\]]+(?: DEFAULT[^,]+)? USING COMPRESSION Uncompressed", created[table]))
        for table in created
    }
    assert {table: columns for table, columns in plain.items() if columns} == {
        "chunk": {"chunk_id", "content_sha256"},
        "embedding": {"embedding_id", "chunk_id", "input_content_sha256", "vector"},
    }
