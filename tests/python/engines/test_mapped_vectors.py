"""The copy of a space on disk; what it shares with the one in memory is in test_local_copies.py."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from stamped_source import Source, contents, filled

from vector.engines import mapped_vectors
from vector.engines.local_copies import drop_copies
from vector.engines.mapped_vectors import MappedCopies
from vector.files import locked


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


def test_what_was_erased_is_forgotten(tmp_path):
    """A row that an erasure has deleted leaves no stamp behind."""
    source, copies = filled(10), MappedCopies(tmp_path)
    copies.current(source, 0)
    assert copies.are_there(source)
    assert copies.are_any()
    del source.vectors["00003"]
    assert drop_copies(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert contents(copies.current(source, 1)) == source.contents()


def test_without_room_or_a_folder_or_while_another_process_makes_it_there_is_none(tmp_path, monkeypatch, caplog):
    source = filled(3)
    assert MappedCopies(None).current(source, 0) is None
    assert not MappedCopies(None).are_any()
    assert not MappedCopies(tmp_path).are_any()
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
