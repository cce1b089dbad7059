"""Local copies of a space, in memory and on disk, against a source that stamps its rows as SQL Server does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from stamped_source import DIMENSIONS, Source, changes, contents, current, filled
from support import posix_only

from vector.engines.mapped_vectors import MappedCopies
from vector.engines.vector_cache import CachedVectors, VectorCache

both = pytest.mark.parametrize("made", [VectorCache, MappedCopies])


@both
@settings(deadline=None)  # they write files
@given(steps=changes)
def test_a_copy_always_equals_the_source(tmp_path_factory, made, steps):
    source, folder = Source(), tmp_path_factory.mktemp("cache")
    copies = made(folder)
    for action, chunk_id, seed in [*steps, ("search", "", 0)]:
        source.change(action, chunk_id, seed)
        if action == "restart":
            copies = made(folder)
        elif action == "search":
            copied = current(copies, source)
            assert contents(copied) == source.contents()
            assert_finds_the_best(copied, source, np.random.default_rng(seed).normal(size=DIMENSIONS))


def assert_finds_the_best(copied, source, question):
    ids = sorted(source.vectors)
    matrix = np.asarray([source.vectors[key] for key in ids], dtype=np.float32).reshape(len(ids), DIMENSIONS)
    exact = CachedVectors(0, np.asarray(ids, dtype=str), np.asarray([f"hash of {key}" for key in ids]), matrix)
    for metric in ("cosine", "dot", "euclidean"):
        found, wanted = (each.best(question.astype(np.float32), metric, 3) for each in (copied, exact))
        # Equal vectors of other rows may differ in a score's last digit, and so in their order.
        scores = {hit.chunk_id: hit.score for hit in exact.best(question.astype(np.float32), metric, 99).hits}
        assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in wanted.hits], abs=1e-5)
        for hit in found.hits:
            assert hit.score == pytest.approx(scores[hit.chunk_id], abs=1e-5)
            assert hit.content_sha256 == f"hash of {hit.chunk_id}"
        assert (found.compared, found.mean) == (wanted.compared, pytest.approx(wanted.mean))


@both
def test_only_what_was_written_since_is_read_and_by_the_next_process_too(made, tmp_path):
    source = filled(10)
    current(made(tmp_path), source)
    source.put("00003", 77)
    source.retire("00004")
    copies = made(tmp_path)
    for _ in range(2):
        assert contents(current(copies, source)) == source.contents()
    assert source.reads == [None, 2]
    source.put("00005", 78)
    assert contents(current(copies, source)) == source.contents()
    assert source.reads == [None, 2, 1]


@pytest.mark.parametrize(
    ("made", "lost"),
    [
        (VectorCache, "*"),
        *(
            (MappedCopies, f"*/{name}")
            for name in ("state.npz", "*.matrix.rows", "*.sketch_1.rows", "*.chunk_ids.rows")
        ),
    ],
)
def test_a_damaged_copy_is_read_anew(made, tmp_path, lost):
    source = filled(10)
    current(made(tmp_path), source)
    (file,) = tmp_path.glob(lost)
    file.write_bytes(file.read_bytes()[:20])
    assert contents(current(made(tmp_path), source)) == source.contents()
    assert source.reads == [None, None]


@both
def test_a_version_that_went_back_is_another_database(made, tmp_path):
    copies = made(tmp_path)
    current(copies, filled(3))
    restored = filled(1)
    assert contents(current(copies, restored)) == restored.contents()


@both
def test_without_a_place_nothing_is_kept(made, tmp_path, caplog):
    """As with a full disk, or a home that cannot be written."""
    (tmp_path / "file").touch()
    source = filled(3)
    assert contents(current(made(tmp_path / "file" / "cache"), source)) == without_a_place(made, source)
    assert "VECTOR_CACHE_DIR" in caplog.text


def without_a_place(made, source):
    """What is in memory needs no place; what is on disk does."""
    return None if made is MappedCopies else source.contents()


@posix_only
@both
@pytest.mark.parametrize("permissions", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_refused(made, tmp_path, caplog, permissions):
    """Who can write to it could plant vectors, and so decide what is found."""
    source, folder = filled(3), tmp_path / "cache"
    assert current(made(folder), source) is not None
    planted = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    folder.chmod(permissions)
    source.put("b", 2)
    reads = len(source.reads)
    assert contents(current(made(folder), source)) == without_a_place(made, source)
    assert source.reads[reads:] == ([] if made is MappedCopies else [None]), "nothing of it is read"
    assert planted == {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}, "or written"
    assert f"{folder} is refused as a cache" in caplog.text
    folder.chmod(0o755)
    assert contents(current(made(folder), source)) == source.contents()
    assert source.reads[-1] == 1, "and then it is read again"
