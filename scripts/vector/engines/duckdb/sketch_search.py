"""Search by sketches on DuckDB: the nearest by them are compared by their vectors, and the best looked up among what is
current."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from vector.engines.base import Engine, Found, SearchHit, SearchRequest, SketchMean
from vector.engines.duckdb.search import SCORES, current_chunks, settings
from vector.engines.filters import NO_FILTERS
from vector.engines.sketches import WORDS, mean_score, sketch_of_question

# The nearest by sketches that are compared by their vectors, and so many for each hit that is asked for
# (benchmarks/README.md, Large spaces).
CANDIDATES = 1000
CANDIDATES_PER_HIT = 10
# What filters leave is compared exactly where it is less, or less of all current chunks than this.
FEW = 100_000
LEAST_SHARE = 0.25
# Up to so many rows DuckDB reads what a select names by the rows found, not by a scan: ids after the order is known,
# vectors by the index of their ids. In one statement, or by a condition on another column, it would read all vectors.
_BY_ROW = ("late_materialization_max_rows", "dynamic_or_filter_threshold", "index_scan_max_count")
# How much more is looked at where too few of the nearest are current, before all are compared.
MORE = 4


def search_by_sketches(engine: Engine, request: SearchRequest, mean: SketchMean) -> Found | None:
    """The best of the vectors that are nearest by their sketches; None where all had better be compared."""
    share = _share_of_filters(engine, request)
    if share is None:
        return None
    wanted = max(CANDIDATES, CANDIDATES_PER_HIT * request.top_k)
    for times in (1, MORE):
        count = math.ceil(wanted * times / share)
        with settings(engine, **dict.fromkeys(_BY_ROW, count)):
            try:
                scored = _nearest(engine, request, mean, count)
            except duckdb.InvalidInputException:  # a vector of another length, or with a null in it
                return None
            hits, looked_at = _current(engine, request, scored, share)
        are_all = len(scored) < count
        # Where most of the nearest are stale, so may be most of the candidates.
        if are_all or (len(hits) == request.top_k and 2 * len(hits) >= looked_at * share):
            return Found(hits, len(scored), mean_score(request.vector, request.distance_metric, mean.mean))
    return None


def _share_of_filters(engine: Engine, request: SearchRequest) -> float | None:
    """The share of the current chunks that pass the filters; None where so few do that they are compared exactly."""
    if not request.filters:
        return 1.0
    # Not `count(*) filter (...)`: a thousand sources are looked up by their hash in a WHERE only.
    passing, values = current_chunks(engine, request.filters, "count(*)")
    every, _ = current_chunks(engine, NO_FILTERS, "count(*)")
    ((left, count),) = engine.lookup(f"select ({passing}), ({every})", values)
    return left / count if left >= FEW and left >= LEAST_SHARE * count else None


def _nearest(engine: Engine, request: SearchRequest, mean: SketchMean, count: int) -> list[SearchHit]:
    """The `count` nearest by their sketches, best first by their vectors."""
    ids = engine.query(
        f"select embedding_id from {engine.table('embedding_sketch')}"
        f" where embedding_space_id = ? and sketch_version = ? order by {_distance(request, mean)} limit ?",
        [request.embedding_space_id, mean.version, count],
    )
    rows = engine.query(
        "select chunk_id, input_content_sha256,"
        f" {SCORES[request.distance_metric].format(vector='vector')} as score from {engine.table('embedding')}"
        " where embedding_id in (select unnest(cast(? as varchar[])))",
        [request.vector.tolist(), [key for (key,) in ids]],
    )
    scored = [SearchHit(chunk_id, sha256, float(score)) for chunk_id, sha256, score in rows if math.isfinite(score)]
    return sorted(scored, key=lambda each: (-each.score, each.chunk_id))


def _distance(request: SearchRequest, mean: SketchMean) -> str:
    """The sum of what the bits that differ weigh. With the numbers in the statement, DuckDB works out once what the
    ones and the twos share."""
    words, ones, twos = sketch_of_question(request.vector, mean.mean)
    counts = []
    for masks in (ones, twos):
        differ = (
            f"bit_count(xor({name}, cast('{word}' as bigint)) & cast('{mask}' as bigint))"
            for name, word, mask in zip(WORDS, words, masks, strict=True)
        )
        # The count of a word is a byte, which would not hold the sum.
        counts.append(" + ".join(f"cast({each} as smallint)" for each in differ))
    return f"{counts[0]} + 2::smallint * ({counts[1]})"


def _current(
    engine: Engine, request: SearchRequest, scored: Sequence[SearchHit], share: float
) -> tuple[list[SearchHit], int]:
    """The first `top_k` that are current and pass the filters; and how many were looked at for it."""
    hits: list[SearchHit] = []
    looked_at = 0
    for part in _growing(scored, math.ceil(2 * request.top_k / share)):
        current = _current_texts(engine, request, [each.chunk_id for each in part])
        for each in part:
            looked_at += 1
            if current.get(each.chunk_id) == each.content_sha256:
                hits.append(each)
            if len(hits) == request.top_k:
                return hits, looked_at
    return hits, looked_at


def _growing(scored: Sequence[SearchHit], size: int) -> Iterator[Sequence[SearchHit]]:
    start = 0
    while start < len(scored):
        yield scored[start : start + size]
        start, size = start + size, 4 * size


def _current_texts(engine: Engine, request: SearchRequest, chunk_ids: Sequence[str]) -> dict[str, str]:
    conditions, values = engine.filter_conditions(request.filters)
    rows: list[Any] = engine.query(
        "with searched as materialized (select chunk_id, content_sha256, source_id, source_type, retired_utc"
        f" from {engine.table('chunk')} where chunk_id in (select unnest(cast(? as varchar[]))))"
        " select searched.chunk_id, searched.content_sha256 from searched"
        f" where {' and '.join(['searched.retired_utc is null', *conditions])}",
        [list(chunk_ids), *values],
    )
    return dict(rows)
