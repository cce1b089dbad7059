"""What searches by sketches find of what exact ones find, measured on a space's own questions and vectors and kept in
`embedding_sketch_recall`, so that nobody need believe it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from vector.contracts.ledgers import Column, key_column
from vector.contracts.models import EmbeddingSpace
from vector.engines.base import Engine, SearchRequest, SketchEngine, SketchMean, with_sketches
from vector.engines.sketches import current_mean, sketch_counts
from vector.engines.vector_cache import usable_vector

TOP_K = 10
# Of each kind, asked both ways: an exact search of a million vectors takes half a second.
QUESTIONS = 20
# Vectors of a space, as a multiple of what they were, from which on it is measured again.
GROWTH = 1.5
# Two scores of one vector may differ by this: a sum in another order.
_SAME_SCORE = 1e-6

_COLUMNS = (
    key_column("embedding_space_id"),
    Column("asked", "asked", "text", length=16),
    *(
        Column(name, name, "integer")
        for name in ("sketch_version", "vector_count", "question_count", "expected_count", "found_count")
    ),
    Column("created_utc", "created_utc", "utc"),
)


_KEY = ("embedding_space_id", "asked", "created_utc")


@dataclass(frozen=True)
class SketchRecall:
    """Of one kind of question (`searches`, `vectors`): how many sketches answered, the hits of the exact search, and
    those of them that were found."""

    asked: str
    questions: int
    expected: int
    found: int


def measure_recall(engine: Engine, space: EmbeddingSpace) -> list[SketchRecall]:
    """Measures and stores it; nothing where sketches are missing, or not kept. Questions that sketches do not answer
    are answered exactly, and are not counted."""
    keeper = with_sketches(engine)
    mean = current_mean(engine, space.embedding_space_id) if keeper else None
    if keeper is None or mean is None:
        return []
    counts = sketch_counts(engine, space.embedding_space_id, mean.version)
    return _measure(keeper, space, mean, counts.vectors) if counts.complete else []


def measure_again(engine: SketchEngine, space: EmbeddingSpace, mean: SketchMean, vector_count: int) -> None:
    """As measure_recall, where the space was never measured with this mean, or when it was far smaller."""
    ((measured,),) = engine.query(
        f"select coalesce(max(vector_count), 0) from {engine.table('embedding_sketch_recall')}"
        " where embedding_space_id = ? and sketch_version = ?",
        [space.embedding_space_id, mean.version],
    )
    if vector_count >= GROWTH * measured:
        _measure(engine, space, mean, vector_count)


def _measure(engine: SketchEngine, space: EmbeddingSpace, mean: SketchMean, vector_count: int) -> list[SketchRecall]:
    asked = {"searches": _of_searches(engine, space), "vectors": _of_vectors(engine, space)}
    measured = [_measured(engine, space, mean, kind, questions) for kind, questions in asked.items()]
    measured = [each for each in measured if each.expected]
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = [
        (
            space.embedding_space_id,
            each.asked,
            mean.version,
            vector_count,
            each.questions,
            each.expected,
            each.found,
            now,
        )
        for each in measured
    ]
    with engine.staged(_COLUMNS, rows) as staged:
        names = [column.name for column in _COLUMNS]
        engine.atomically(lambda: engine.insert_new("embedding_sketch_recall", staged, names, _KEY))
    return measured


def _of_searches(engine: SketchEngine, space: EmbeddingSpace) -> list[np.ndarray]:
    """The vectors of the last questions that were logged, each once."""
    rows = engine.query(
        "select query_embedding from (select query_embedding, created_utc, row_number() over (partition by query_sha256"
        f" order by created_utc desc) as place from {engine.table('retrieval')}"
        " where embedding_space_id = ? and query_embedding is not null) as asked where place = 1"
        f" order by created_utc desc offset 0 rows fetch next {QUESTIONS} rows only",
        [space.embedding_space_id],
    )
    return _usable(engine, space, rows)


def _of_vectors(engine: SketchEngine, space: EmbeddingSpace) -> list[np.ndarray]:
    """Some of the space's vectors, from a place in the order of their ids that is drawn by chance."""
    # From that place to the last id, and on from the first.
    rows = engine.query(
        f"select vector from {engine.table('embedding')} where embedding_id in (select embedding_id"
        f" from {engine.table('embedding')} where embedding_space_id = ?"
        " order by case when embedding_id >= ? then 0 else 1 end, embedding_id"
        f" offset 0 rows fetch next {QUESTIONS} rows only)",
        [space.embedding_space_id, str(uuid.uuid4())],
    )
    return _usable(engine, space, rows)


def _usable(engine: SketchEngine, space: EmbeddingSpace, rows: Sequence[tuple]) -> list[np.ndarray]:
    vectors = (usable_vector(engine.decode_vector(vector), space.dimensions) for (vector,) in rows)
    return [each for each in vectors if each is not None]


def _measured(
    engine: SketchEngine, space: EmbeddingSpace, mean: SketchMean, kind: str, questions: Sequence[np.ndarray]
) -> SketchRecall:
    answered = expected = found = 0
    for question in questions:
        request = SearchRequest(space.embedding_space_id, question, space.distance_metric, TOP_K)
        by_sketches = engine.search_by_sketches(request, mean)
        if by_sketches is None:
            continue
        exact = engine.search(request).hits
        answered += 1
        expected += len(exact)
        # Of equal scores, which a text that is there twice has, any will do.
        least = exact[-1].score - _SAME_SCORE if exact else 0.0
        found += min(len(exact), sum(hit.score >= least for hit in by_sketches.hits))
    return SketchRecall(kind, answered, expected, found)
