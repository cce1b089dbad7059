"""Exact search on Spark: over a local copy of the vectors, or by numpy in the executors, for many questions at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vector.engines.base import Found, SearchHit, SearchRequest, TaskEngine
from vector.engines.vector_cache import (
    VectorCache,
    read_current_vectors,
    similarity,
    tell_unusable,
    top_rows,
    usable_vector,
)

_COLUMNS = (
    "question int, chunk_id string, content_sha256 string, score double, compared bigint, total double, bad bigint"
)


def search(engine: TaskEngine, cache: VectorCache, request: SearchRequest) -> Found:
    """The best of the current vectors that pass the filters."""
    source = CurrentVectors(engine, request.embedding_space_id, len(request.vector))
    cached = cache.current(source)
    if cached is None:
        return search_many(engine, request, request.vector[None, :])[0]
    return cached.best(request.vector, request.distance_metric, request.top_k, _filtered_chunks(engine, request))


def search_many(engine: TaskEngine, request: SearchRequest, questions: np.ndarray) -> list[Found]:
    """What a search finds for each question, float32 of shape (questions, dimensions), in one pass over the vectors by
    the executors. Of the request all but its vector counts."""
    conditions, values = engine.filter_conditions(request.filters)
    where = " and ".join(["searched.embedding_space_id = ?", *conditions])
    rows = engine.map_rows(
        "select searched.chunk_id, searched.input_content_sha256, searched.vector"
        f" from {engine.table('embedding_current')} as searched where {where}",
        [request.embedding_space_id, *values],
        BestOfTask(questions.astype(np.float32), request.distance_metric, request.top_k),
        _COLUMNS,
    )
    best: list[list[SearchHit]] = [[] for _ in questions]
    compared, totals, unusable = 0, np.zeros(len(questions)), 0
    for question, chunk_id, content_sha256, score, count, total, bad in rows:
        if chunk_id is not None:
            best[question].append(SearchHit(chunk_id, content_sha256, score))
            continue
        totals[question] += total
        if question == 0:
            compared, unusable = compared + count, unusable + bad
    if unusable:
        tell_unusable(unusable, request.embedding_space_id)
    means = totals / max(compared, 1)
    return [
        Found(sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[: request.top_k], compared, float(mean))
        for hits, mean in zip(best, means, strict=True)
    ]


@dataclass(frozen=True)
class BestOfTask:
    """What a task does: the best of its vectors for each question, and per question the number and the sum."""

    questions: np.ndarray
    metric: str
    top_k: int

    def __call__(self, number: int, batches: Iterator[Any]) -> Iterator[Any]:
        """Arrow batches of (chunk_id, content hash, vector) to one of `_COLUMNS`."""
        import pyarrow as pa

        best: list[list[tuple[str, str, float]]] = [[] for _ in self.questions]
        compared, totals, unusable = 0, np.zeros(len(self.questions)), 0
        for batch in batches:
            kept, matrix = _matrix(batch.column(2), self.questions.shape[1])
            unusable += batch.num_rows - len(kept)
            if not len(kept):
                continue
            ids = np.asarray(batch.column(0).to_pylist())[kept]
            hashes = np.asarray(batch.column(1).to_pylist())[kept]
            compared += len(kept)
            for number, question in enumerate(self.questions):
                scores = similarity(matrix, question.astype(np.float64), self.metric)
                totals[number] += scores.sum()
                first = top_rows(scores, ids, self.top_k)
                found = [(str(ids[row]), str(hashes[row]), float(scores[row])) for row in first]
                best[number] = sorted([*best[number], *found], key=lambda hit: (-hit[2], hit[0]))[: self.top_k]
        rows: list[tuple] = [(number, *hit, 0, 0.0, 0) for number, hits in enumerate(best) for hit in hits]
        rows += [(number, None, None, 0.0, compared, float(total), unusable) for number, total in enumerate(totals)]
        kinds = (pa.int32(), pa.string(), pa.string(), pa.float64(), pa.int64(), pa.float64(), pa.int64())
        names = [part.split()[0] for part in _COLUMNS.split(", ")]
        columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, names=names)


def _matrix(column: Any, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """The positions of the vectors that can be compared, and those as float64 of shape (vectors, dimensions)."""
    flat = column.flatten()
    if column.null_count == 0 and flat.null_count == 0 and len(flat) == len(column) * dimensions:
        matrix = flat.to_numpy(zero_copy_only=False).reshape(len(column), dimensions).astype(np.float64)
        kept = np.flatnonzero(np.isfinite(matrix).all(axis=1))
        if len(kept) == len(matrix) and bool((np.diff(column.offsets.to_numpy()) == dimensions).all()):
            return kept, matrix
    usable = [usable_vector(value, dimensions) for value in column.to_pylist()]
    kept = np.asarray([i for i, vector in enumerate(usable) if vector is not None], dtype=np.int64)
    found = [vector for vector in usable if vector is not None]
    return kept, np.asarray(found, dtype=np.float64).reshape(len(found), dimensions)


def has_tag(key: str, value: str) -> tuple[str, list[Any]]:
    """The condition that the object `source.tags_json` has this value at the key, or in the array there."""
    found = "element_at(from_json(source.tags_json, 'map<string,string>'), ?)"
    return (
        f"({found} = ? or coalesce(array_contains(from_json({found}, 'array<string>'), ?), false))",
        [key, value, key, value],
    )


def _filtered_chunks(engine: TaskEngine, request: SearchRequest) -> list[str] | None:
    """Ids of the chunks that pass the filters; None where there are none."""
    conditions, values = engine.filter_conditions(request.filters)
    if not conditions:
        return None
    where = " and ".join(["searched.retired_utc is null", *conditions])
    sql = f"select searched.chunk_id from {engine.table('chunk')} as searched where {where}"
    return [chunk_id for (chunk_id,) in engine.query(sql, values)]


class CurrentVectors:
    """The current vectors of one space, as the local copy reads them: all anew when a ledger has another snapshot."""

    def __init__(self, engine: TaskEngine, embedding_space_id: str, dimensions: int):
        self.engine, self.space, self.dimensions = engine, embedding_space_id, dimensions
        self.identity = f"{engine.location}/{engine.schema}/{embedding_space_id}"

    def version(self) -> int:
        """A number of the snapshots that the ledgers are at. It does not grow, which the copy takes for another
        database, and so reads all."""
        token = str(self.engine.change_token()).encode()
        return int.from_bytes(hashlib.sha256(token).digest()[:7], "big")

    def count(self) -> int:
        """Number of current vectors."""
        sql = f"select count(*) from {self.engine.table('embedding_current')} where embedding_space_id = ?"
        return int(self.engine.query(sql, [self.space])[0][0])

    def changed_chunks(self, since: int) -> list[str]:
        """All current ones: what has changed since a snapshot is not asked for."""
        sql = f"select chunk_id from {self.engine.table('embedding_current')} where embedding_space_id = ?"
        return [chunk_id for (chunk_id,) in self.engine.query(sql, [self.space])]

    def current_vectors(self, chunk_ids: Sequence[str] | None) -> Iterator[tuple[str, str, np.ndarray]]:
        """Current vectors of these chunks, or of all."""
        return read_current_vectors(self.engine, self.space, self.dimensions, chunk_ids)
