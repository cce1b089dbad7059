"""The local copy of a space's vectors, against a source in memory that stamps its rows as SQL Server does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stamped_source import DIMENSIONS, Source, changes
from support import posix_only

from vector.engines.vector_cache import VectorCache, default_folder, private_folder, similarity, top_rows


def contents(cached):
    return {chunk_id: row.tolist() for chunk_id, row in zip(cached.chunk_ids.tolist(), cached.matrix, strict=True)}


@given(changes)
def test_the_copy_always_equals_the_source(tmp_path_factory, steps):
    source, folder = Source(), tmp_path_factory.mktemp("cache")
    cache = VectorCache(folder)
    for action, chunk_id, seed in [*steps, ("search", "", 0)]:
        source.change(action, chunk_id, seed)
        if action == "restart":
            cache = VectorCache(folder)
        elif action == "search":
            assert contents(cache.current(source)) == source.contents()


def test_nothing_is_read_again_while_nothing_was_written():
    source = Source()
    for number in range(10):
        source.put(f"chunk {number}", number)
    cache = VectorCache(None)
    cache.current(source)
    cache.current(source)
    assert source.reads == [None]


def test_only_changed_chunks_are_read_again():
    source = Source()
    for number in range(10):
        source.put(f"chunk {number}", number)
    cache = VectorCache(None)
    cache.current(source)
    source.put("chunk 3", 77)
    source.retire("chunk 4")
    assert contents(cache.current(source)) == source.contents()
    assert source.reads == [None, 2]


def test_the_next_process_starts_from_the_file(tmp_path):
    source = Source()
    source.put("a", 1)
    VectorCache(tmp_path).current(source)
    assert contents(VectorCache(tmp_path).current(source)) == source.contents()
    assert source.reads == [None]


def test_a_damaged_file_is_read_anew(tmp_path):
    source = Source()
    source.put("a", 1)
    VectorCache(tmp_path).current(source)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert contents(VectorCache(tmp_path).current(source)) == source.contents()


def test_without_a_place_for_the_file_there_is_none(tmp_path, caplog):
    """As with a full disk, or a home that cannot be written."""
    (tmp_path / "file").touch()
    source = Source()
    source.put("a", 1)
    assert contents(VectorCache(tmp_path / "file" / "cache").current(source)) == source.contents()
    assert "VECTOR_CACHE_DIR" in caplog.text


def test_without_a_home_there_is_no_folder(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("VECTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert default_folder() is None


def test_a_version_that_went_back_is_another_database():
    source = Source()
    source.put("a", 1)
    source.put("b", 2)
    cache = VectorCache(None)
    cache.current(source)
    restored = Source()
    restored.put("c", 3)
    assert contents(cache.current(restored)) == restored.contents()


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
@pytest.mark.parametrize("permissions", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(tmp_path, caplog, permissions):
    """Who can write to it could plant vectors, and so decide what is found."""
    source = Source()
    for chunk_id in "acd":
        source.put(chunk_id, 1)
    folder = tmp_path / "cache"
    assert VectorCache(folder).current(source) is not None
    (planted,) = folder.iterdir()
    before = planted.read_bytes()
    folder.chmod(permissions)
    source.put("b", 2)
    reads = len(source.reads)
    assert contents(VectorCache(folder).current(source)) == source.contents()
    assert source.reads[reads:] == [None], "nothing of it is read"
    assert [planted.read_bytes()] == [each.read_bytes() for each in folder.iterdir()] == [before], "or written"
    assert f"{folder} is refused as a cache" in caplog.text
    folder.chmod(0o755)
    assert contents(VectorCache(folder).current(source)) == source.contents()
    assert source.reads[reads:] == [None, 1], "and then it is read again"


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
