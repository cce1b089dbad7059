"""Writes the sketches of vectors (vector.engines.sketches): with the vectors, and of a space's earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vector.contracts.ledgers import Column, key_column
from vector.contracts.models import EmbeddingSpace
from vector.engines.base import Engine, SketchEngine, SketchMean, with_sketches
from vector.engines.sketches import (
    WHY_UNFIT,
    WORDS,
    SketchCounts,
    current_mean,
    directions,
    fits_sketches,
    sketch_counts,
    sketches,
)
from vector.errors import ConfigurationError
from vector.store.sketch_recall import measure_again
from vector.store.store import VectorStore
from vector.wording import counted

# A smaller space is compared exactly in a few milliseconds. Of so many rows the mean hardly changes any more.
LEAST_VECTORS = 50_000
# Rows that are written in a transaction.
BATCH = 20_000
# The bits of a sketch that another machine may find otherwise: components that are next to nothing.
TOLERANCE = 2

_KEY = Column("embedding_id", "embedding_id", "text", length=36)
_SPACE = key_column("embedding_space_id")
_VERSION = Column("sketch_version", "sketch_version", "integer")
_WORDS = tuple(Column(name, name, "integer") for name in WORDS)
_SKETCH = (_KEY, _SPACE, _VERSION, *_WORDS)
_MEAN = (_SPACE, _VERSION, Column("mean", "mean", "vector"), Column("row_count", "row_count", "integer"))


def write_with_vectors(engine: Engine, rows: Sequence[tuple], columns: Sequence[str], inserted: int) -> None:
    """Inside the transaction that wrote them, the sketches of rows of `embedding`, in the order of `columns`, in spaces
    that have a mean. `inserted` of the rows are new."""
    key, space, vector = (columns.index(name) for name in ("embedding_id", "embedding_space_id", "vector"))
    for embedding_space_id in {row[space] for row in rows} if inserted else ():
        mean = current_mean(engine, embedding_space_id)
        if mean is None:
            continue
        mine = [row for row in rows if row[space] == embedding_space_id]
        matrix = np.asarray([row[vector] for row in mine], dtype=np.float32)
        made = _rows(embedding_space_id, mean, [row[key] for row in mine], matrix)
        with engine.staged(_SKETCH, made) as staged:
            names = ", ".join(column.name for column in _SKETCH)
            # Another row was there already for a vector that was not new.
            new = f" where embedding_id in (select embedding_id from {engine.table('embedding')})"
            engine.execute(
                f"insert into {engine.table('embedding_sketch')} ({names}) select {names} from {staged}"
                f"{new if inserted < len(rows) else ''}"
            )


def fill_sketches(store: VectorStore, space: EmbeddingSpace, renew: bool = False) -> SketchCounts:
    """Makes the sketches that a space lacks, in batches of a transaction each: what was interrupted goes on when it is
    asked for again. A space without a mean gets one, and with `renew` another one, with which all sketches are made
    anew; until that is done, searches compare exactly.

    Raises ConfigurationError on an engine that keeps no sketches, in a space that they do not fit or of too few
    vectors, and while another session does the same.
    """
    engine, key = with_sketches(store.engine), space.embedding_space_id
    if engine is None:
        raise ConfigurationError(f"{store.engine.name} keeps no sketches; it is searched exactly")
    if not fits_sketches(space):
        raise ConfigurationError(f"space {space.space_key}: {WHY_UNFIT}, so it is searched exactly")
    with engine.exclusive(f"sketch:{key}") as alone:
        if not alone:
            raise ConfigurationError(f"space {space.space_key}: another session makes its sketches; wait for it")
        return _fill(engine, space, renew)[1]


def keep_sketched(store: VectorStore, space: EmbeddingSpace) -> None:
    """After a run: the first mean and sketches of a space that has grown large enough, those that it lacks, and what
    they find of the nearest. Nothing while another session makes them, and of vectors that sketches do not fit."""
    engine, key = with_sketches(store.engine), space.embedding_space_id
    if engine is None or not fits_sketches(space):
        return
    with engine.exclusive(f"sketch:{key}") as alone:
        mean = current_mean(engine, key)
        counts = sketch_counts(engine, key, mean.version if mean else 0)
        if not alone or not (mean or counts.vectors >= LEAST_VECTORS):
            return
        if not counts.complete:
            mean, counts = _fill(engine, space)
        if mean and counts.complete:
            measure_again(engine, space, mean, counts.vectors)


def _fill(engine: SketchEngine, space: EmbeddingSpace, renew: bool = False) -> tuple[SketchMean, SketchCounts]:
    key = space.embedding_space_id
    mean = current_mean(engine, key)
    with engine.many_writes():
        if mean is None or renew:
            mean = _take_mean(engine, space, mean)
        _delete_orphans(engine, key)
        for ids, matrix in _blocks(engine, space, mean.version):
            _write(engine, _rows(key, mean, ids, matrix))
    return mean, sketch_counts(engine, key, mean.version)


def wrong_sketches(store: VectorStore) -> list[str]:
    """The sorted ids of the embeddings whose sketch is not that of their vector: more than two bits differ. Those of
    former means are no candidates, and not looked at."""
    engine, found = with_sketches(store.engine), []
    if engine is None:
        return []
    for space in store.list_embedding_spaces(active_only=False):
        if (mean := current_mean(engine, space.embedding_space_id)) is None:
            continue
        rows = engine.vector_blocks(
            f"select sketch.embedding_id, embedding.vector, {', '.join(f'sketch.{name}' for name in WORDS)}"
            f" from {engine.table('embedding_sketch')} as sketch inner join {engine.table('embedding')} as embedding"
            " on embedding.embedding_id = sketch.embedding_id"
            " where sketch.embedding_space_id = ? and sketch.sketch_version = ?",
            [space.embedding_space_id, mean.version],
            space.dimensions,
        )
        for ids, matrix, words in rows:
            # Without a sign: numpy counts the bits of the absolute value.
            differing = np.bitwise_count((sketches(matrix, mean.mean) ^ words).view(np.uint64)).sum(axis=1)
            found += [ids[i] for i in np.flatnonzero(differing > TOLERANCE)]
    return sorted(found)


def _take_mean(engine: SketchEngine, space: EmbeddingSpace, former: SketchMean | None) -> SketchMean:
    total, count = np.zeros(space.dimensions), 0
    rows = engine.vector_blocks(
        f"select embedding_id, vector from {engine.table('embedding')} where embedding_space_id = ?",
        [space.embedding_space_id],
        space.dimensions,
    )
    for ids, matrix, _ in rows:
        total += directions(matrix).sum(axis=0, dtype=np.float64)
        count += len(ids)
    if count < LEAST_VECTORS:
        raise ConfigurationError(
            f"space {space.space_key} has {counted(count, 'vector')}; sketches are made from"
            f" {LEAST_VECTORS:,} on, fewer are compared exactly"
        )
    taken = SketchMean(former.version + 1 if former else 1, (total / count).astype(np.float32), count)
    row = (space.embedding_space_id, taken.version, engine.encode_vector(taken.mean), count)
    names = [column.name for column in _MEAN]
    with engine.staged(_MEAN, [row]) as staged:
        engine.atomically(lambda: engine.insert_new("embedding_sketch_mean", staged, names, names[:2]))
    return taken


def _blocks(engine: SketchEngine, space: EmbeddingSpace, version: int) -> Iterator[tuple[list[str], np.ndarray]]:
    """Ids and vectors without a sketch of this version, a batch at a time, read once."""
    rows = engine.vector_blocks(
        f"select embedding.embedding_id, embedding.vector from {engine.table('embedding')} as embedding"
        f" where embedding.embedding_space_id = ? and not exists (select 1 from {engine.table('embedding_sketch')}"
        " as sketch where sketch.embedding_id = embedding.embedding_id and sketch.sketch_version = ?)",
        [space.embedding_space_id, version],
        space.dimensions,
        BATCH,
    )
    return ((ids, matrix) for ids, matrix, _ in rows)


def _rows(embedding_space_id: str, mean: SketchMean, ids: Sequence[str], matrix: np.ndarray) -> list[tuple]:
    words = sketches(matrix, mean.mean).tolist()
    return [(key, embedding_space_id, mean.version, *row) for key, row in zip(ids, words, strict=True)]


def _write(engine: Engine, rows: Sequence[tuple]) -> None:
    """In place of sketches of former means, where there are any."""
    names = [column.name for column in _SKETCH]
    with engine.staged(_SKETCH, rows) as staged:

        def write() -> None:
            if engine.insert_new("embedding_sketch", staged, names, names[:1]) < len(rows):
                engine.update_from("embedding_sketch", staged, names[2:], names[:1])

        engine.atomically(write)


def _delete_orphans(engine: Engine, embedding_space_id: str) -> None:
    """Sketches of vectors that somebody has deleted by hand: counted, they would pass for those of others."""
    engine.execute(
        f"delete from {engine.table('embedding_sketch')} where embedding_space_id = ? and embedding_id not in"
        f" (select embedding_id from {engine.table('embedding')} where embedding_space_id = ?)",
        [embedding_space_id, embedding_space_id],
    )
