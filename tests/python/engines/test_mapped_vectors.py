"""The copy of a space on disk, against a source in memory that stamps its rows as SQL Server does."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import given
from stamped_source import DIMENSIONS, Source, changes
from support import posix_only

from vector.engines import mapped_vectors
from vector.engines.local_copies import drop_copies
from vector.engines.mapped_vectors import MappedCopies
from vector.engines.vector_cache import CachedVectors
from vector.files import locked


def contents(copied):
    return {
        bytes(copied.chunk_ids[row]).decode(): copied.matrix[row].tolist() for row in np.flatnonzero(copied.current)
    }


def filled(count, dimensions=DIMENSIONS):
    source = Source(dimensions=dimensions)
    for number in range(count):
        source.put(f"{number:05}", number)
    return source


def in_memory(source):
    ids = sorted(source.vectors)
    matrix = np.asarray([source.vectors[key] for key in ids], dtype=np.float32).reshape(len(ids), source.dimensions)
    return CachedVectors(0, np.asarray(ids, dtype=str), np.asarray([f"hash of {key}" for key in ids]), matrix)


@given(changes)
def test_the_copy_always_equals_the_source(tmp_path_factory, steps):
    source, folder = Source(), tmp_path_factory.mktemp("cache")
    copies = MappedCopies(folder)
    for action, chunk_id, seed in [*steps, ("search", "", 0)]:
        source.change(action, chunk_id, seed)
        if action == "restart":
            copies = MappedCopies(folder)
        elif action == "search":
            copied = copies.current(source, 0)
            assert contents(copied) == source.contents()
            question = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
            for metric in ("cosine", "dot", "euclidean"):
                found, exact = copied.best(question, metric, 3), in_memory(source).best(question, metric, 3)
                # Equal vectors of other rows may differ in a score's last digit, and so in their order.
                scores = {hit.chunk_id: hit.score for hit in in_memory(source).best(question, metric, 99).hits}
                assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in exact.hits], abs=1e-5)
                for hit in found.hits:
                    assert hit.score == pytest.approx(scores[hit.chunk_id], abs=1e-5)
                    assert hit.content_sha256 == f"hash of {hit.chunk_id}"
                assert (found.compared, found.mean) == (exact.compared, pytest.approx(exact.mean))


def test_only_what_was_written_since_is_read_and_by_the_next_process_too(tmp_path):
    source = filled(10)
    MappedCopies(tmp_path).current(source, 0)
    source.put("00003", 77)
    source.retire("00004")
    copies = MappedCopies(tmp_path)
    assert copies.are_there(source)
    assert copies.are_any()
    for _ in range(2):
        assert contents(copies.current(source, 0)) == source.contents()
    assert source.reads == [None, 2]


def test_a_process_that_is_killed_leaves_the_copy_as_it_was(tmp_path, monkeypatch):
    source = filled(10)
    before = source.contents()
    copies = MappedCopies(tmp_path)
    opened = copies.current(source, 0)
    source.put("00003", 77)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mapped_vectors, "_write_state", killed)
        with pytest.raises(KeyboardInterrupt):
            copies.current(source, 0)
    assert contents(opened) == before, "a reader has what it had"
    source.put("00005", 78)
    assert contents(MappedCopies(tmp_path).current(source, 0)) == source.contents()


@pytest.mark.parametrize("lost", ["state.npz", "*.matrix.rows", "*.sketch_1.rows", "*.chunk_ids.rows"])
def test_a_damaged_copy_is_read_anew(tmp_path, lost):
    source = filled(10)
    MappedCopies(tmp_path).current(source, 0)
    (file,) = tmp_path.glob(f"*/{lost}")
    file.write_bytes(file.read_bytes()[:20])
    assert contents(MappedCopies(tmp_path).current(source, 0)) == source.contents()
    assert source.reads == [None, None]


def test_what_was_erased_is_forgotten(tmp_path):
    """A row that an erasure has deleted leaves no stamp behind."""
    source, copies = filled(10), MappedCopies(tmp_path)
    copies.current(source, 0)
    del source.vectors["00003"]
    assert drop_copies(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert contents(copies.current(source, 1)) == source.contents()


def test_a_version_that_went_back_is_another_database(tmp_path):
    copies = MappedCopies(tmp_path)
    copies.current(filled(3), 0)
    restored = filled(1)
    assert contents(copies.current(restored, 0)) == restored.contents()


def test_without_room_or_a_folder_or_while_another_process_makes_it_there_is_none(tmp_path, monkeypatch, caplog):
    source = filled(3)
    assert MappedCopies(None).current(source, 0) is None
    assert not MappedCopies(None).are_any()
    assert not MappedCopies(tmp_path).are_any()
    (tmp_path / "file").touch()
    assert MappedCopies(tmp_path / "file" / "cache").current(source, 0) is None
    assert "VECTOR_CACHE_DIR" in caplog.text
    caplog.clear()
    copies = MappedCopies(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
        assert copies.current(source, 0) is None
        assert "less than twice as much is free" in caplog.text
    monkeypatch.setattr(mapped_vectors, "PATIENCE", 0.0)
    (folder,) = tmp_path.glob("*.mapped")
    with locked(folder / "lock"):
        assert copies.current(source, 0) is None
        assert "brings it up to date" in caplog.text
    assert contents(copies.current(source, 0)) == source.contents()


@posix_only
def test_a_folder_that_others_can_write_is_refused(tmp_path, caplog):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    assert MappedCopies(folder).current(filled(3), 0) is None
    assert "is refused as a cache" in caplog.text
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_sketches_find_what_all_vectors_would(tmp_path, monkeypatch, metric):
    random = np.random.default_rng(3)
    source = Source(dimensions=64)
    vectors = random.normal(size=(3000, 64)).astype(np.float32) + 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for number, vector in enumerate(vectors):
        source.put(f"{number:05}", 0)
        source.vectors[f"{number:05}"] = vector
    copies = MappedCopies(tmp_path)
    copies.current(source, 0)
    for number in range(0, 3000, 3):
        source.retire(f"{number:05}")
    copied = copies.current(source, 0)
    monkeypatch.setattr(mapped_vectors, "CANDIDATES", 500)
    monkeypatch.setattr(mapped_vectors, "FEW", 1000)
    only = [key for key in source.vectors if key > "00500"]
    missed = 0
    for question in vectors[:20]:
        for wanted in (None, only):
            found = copied.best_by_sketches(question, metric, 5, wanted)
            exact = copied.best(question, metric, 5, wanted)
            missed += len({hit.chunk_id for hit in exact.hits} - {hit.chunk_id for hit in found.hits})
            assert found.hits[0] == exact.hits[0]
            assert found.compared == 500
            assert {hit.chunk_id for hit in found.hits} <= set(wanted or source.vectors)
        assert copied.best_by_sketches(question, metric, 5).mean == pytest.approx(
            copied.best(question, metric, 5).mean, abs=0.02
        )
    assert missed <= 4, "2 of 100"
    assert copied.best_by_sketches(vectors[0], metric, 5, only[:999]) is None
