"""The local copy of a space's vectors in memory; what it shares with the one on disk is in test_local_copies.py."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stamped_source import DIMENSIONS, Source
from support import posix_only

from vector.engines.vector_cache import VectorCache, default_folder, private_folder, similarity, top_rows


def test_without_a_home_there_is_no_folder(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("VECTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert default_folder() is None


def test_a_space_above_the_memory_bound_is_not_copied():
    source = Source()
    for number in range(100_000):
        source.vectors[str(number)] = np.zeros(DIMENSIONS, dtype=np.float32)
    assert VectorCache(None, megabytes=1).current(source) is None
    assert source.reads == []


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_best_equals_sorting_everything(metric):
    random = np.random.default_rng(5)
    source = Source()
    for number in range(50):
        source.put(f"{number:02}", number % 20)  # equal vectors tie
    cached = VectorCache(None).current(source)
    query = random.normal(size=DIMENSIONS).astype(np.float32)
    scores = similarity(cached.matrix, query, metric)
    whole = sorted(range(50), key=lambda i: (-scores[i], cached.chunk_ids[i]))
    for top_k in (1, 7, 50, 60):
        hits, compared, mean = cached.best(query, metric, top_k)
        assert [hit.chunk_id for hit in hits] == [cached.chunk_ids[i] for i in whole[:top_k]]
        assert (compared, mean) == (50, pytest.approx(scores.mean()))
    hits, compared, _ = cached.best(query, metric, 50, only=["03", "04", "not there"])
    assert {hit.chunk_id for hit in hits} == {"03", "04"}
    assert compared == 2


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=30), st.integers(1, 35))
def test_top_rows_break_ties_by_id(scores, top_k):
    ids = np.asarray([f"{(7 * i) % len(scores):03}" for i in range(len(scores))])
    whole = sorted(range(len(scores)), key=lambda i: (-scores[i], ids[i], i))
    assert sorted(ids[top_rows(np.asarray(scores), ids, top_k)]) == sorted(ids[i] for i in whole[:top_k])


@posix_only
def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch, caplog):
    mine = os.geteuid()
    monkeypatch.setattr("vector.engines.vector_cache.os.geteuid", lambda: mine + 1)
    assert not private_folder(tmp_path)
    assert "is refused as a cache" in caplog.text


@posix_only
def test_a_folder_that_is_made_is_its_owners(tmp_path):
    assert private_folder(tmp_path / "a" / "b", make=True)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
