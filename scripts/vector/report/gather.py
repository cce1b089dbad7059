"""Reads what the report shows from the marts, in the words of SQL that both engines share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from vector.contracts.json_column import json_object
from vector.engines.base import Engine
from vector.errors import ConfigurationError
from vector.language import search_language
from vector.projection import project_plane
from vector.report.rows import (
    Asked,
    Comparison,
    Coverage,
    DeadJob,
    Drift,
    LoggedSearch,
    MapPoint,
    Quality,
    QueryQuality,
    QueueHealth,
    Report,
    Run,
    SpaceMap,
    SpaceStatus,
    Trend,
)
from vector.report.series import asked, ordered_series
from vector.store import VectorStore

Row = TypeVar("Row")

# What the page needs; dbt builds all of it.
RELATIONS = (
    "space_status space_coverage job_queue_health dead_letter run_history retrieval_quality retrieval_quality_trend"
    " space_comparison space_drift retrieval retrieval_quality_query embedding_space embedding_current chunk"
    " source_registry search_setting"
).split()

LATEST = 20  # dead jobs and runs
SLOWEST = 10  # searches
WORST = 5  # questions of an evaluation
WORST_SERIES = 10  # of which they are shown
# Chunks on a map, and on all maps of the page: more of them are slow in a browser and tell no more.
MAP_CHUNKS = 5000
ALL_MAPS_CHUNKS = 20_000


def gather(store: VectorStore, space_keys: Sequence[str] | None = None) -> Report:
    """What the report shows of these spaces, or of all, inactive ones included.

    The queue and its runs are shown whole. Raises ConfigurationError where a space is unknown, or dbt has not built
    what is read.
    """
    engine = store.engine
    if missing := engine.missing_relations(RELATIONS):
        raise ConfigurationError(f"{', '.join(missing)} not built in schema {engine.schema}; run `dbt build` first")
    known = sorted(space.space_key for space in store.list_embedding_spaces(active_only=False))
    keys = _chosen(known, space_keys)
    statuses = _read(engine, SpaceStatus, "space_status", keys, order="space_key")
    quality = _read(engine, Quality, "retrieval_quality", keys, order="evaluated_utc, evaluation_id, metric")
    judged = [row for row in quality if row.metric is not None]
    language = search_language(engine)
    series = ordered_series(judged, language, {space.space_key for space in statuses if space.status == "live"})
    return Report(
        made_utc=engine.utc_now(),
        engine=engine.name,
        schema=engine.schema,
        search_language=language,
        spaces=keys,
        all_spaces=keys == known,
        statuses=statuses,
        coverage=_read(engine, Coverage, "space_coverage", keys, order="space_key, source_type"),
        queue=_read(engine, QueueHealth, "job_queue_health", order="job_type"),
        dead=_read(engine, DeadJob, "dead_letter", order="completed_utc desc, job_id", limit=LATEST),
        dead_count=_count(engine, "dead_letter"),
        runs=_read(engine, Run, "run_history", order="started_utc desc, run_id", limit=LATEST),
        run_count=_count(engine, "run_history"),
        quality=quality,
        series=series,
        trend=_read(engine, Trend, "retrieval_quality_trend", keys, order="evaluated_utc, evaluation_id, metric"),
        comparisons=_pairs(engine, Comparison, "space_comparison", keys, "metric"),
        drift=_pairs(engine, Drift, "space_drift", keys, "query_id"),
        search_count=_search_count(engine, keys),
        slowest=_slowest(engine, keys),
        worst=[row for each in _latest_evaluations(judged, series[:WORST_SERIES]) for row in _worst(engine, each)],
        maps=_maps(engine, keys),
    )


def _chosen(known: list[str], space_keys: Sequence[str] | None) -> list[str]:
    if not space_keys:
        return known
    if unknown := [key for key in space_keys if key not in known]:
        raise ConfigurationError(f"no space is called {unknown[0]!r}; spaces are {', '.join(known) or 'none yet'}")
    return sorted(set(space_keys))


def _read(
    engine: Engine,
    row: type[Row],
    relation: str,
    keys: Sequence[str] | None = None,
    *,
    order: str,
    limit: int | None = None,
) -> list[Row]:
    """The columns of a relation that the dataclass names; with `keys`, of these spaces only."""
    condition, parameters = ("", []) if keys is None else _among(["space_key"], keys)
    return _select(engine, row, f"{engine.table(relation)} as rows_read{condition}", parameters, order, limit)


def _pairs(engine: Engine, row: type[Row], relation: str, keys: Sequence[str], last: str) -> list[Row]:
    """Each pair of spaces once, the mart has it both ways."""
    condition, parameters = _among(["space_key_a", "space_key_b"], keys)
    source = f"{engine.table(relation)} as rows_read{condition} and space_key_a < space_key_b"
    return _select(engine, row, source, parameters, f"space_key_a, space_key_b, comparison_id, {last}")


def _select(
    engine: Engine, row: type[Row], source: str, parameters: Sequence[Any], order: str, limit: int | None = None
) -> list[Row]:
    names = ", ".join(field.name for field in fields(row))
    sql = f"select {names} from {source} order by {order}{_first(limit)}"
    return [row(*values) for values in engine.query(sql, parameters)]


def _among(columns: Iterable[str], keys: Sequence[str]) -> tuple[str, list[str]]:
    """A condition that the columns hold some of the keys, with its parameters."""
    if not keys:
        return " where 1 = 0", []
    marks = ", ".join("?" * len(keys))
    conditions = [f"{column} in ({marks})" for column in columns]
    return f" where {' and '.join(conditions)}", [*keys] * len(conditions)


def _first(limit: int | None) -> str:
    return f" offset 0 rows fetch next {limit} rows only" if limit else ""


def _count(engine: Engine, relation: str) -> int:
    ((count,),) = engine.query(f"select count(*) from {engine.table(relation)}")
    return count


# Searches


def _searches(engine: Engine, keys: Sequence[str]) -> tuple[str, list[str]]:
    """Logged searches with the key of their space; the condition comes last, so that more can be said."""
    condition, parameters = _among(["space_key"], keys)
    return (
        f"(select retrieval.*, spaces.space_key from {engine.table('retrieval')} as retrieval"
        f" inner join {engine.table('embedding_space')} as spaces"
        f" on spaces.embedding_space_id = retrieval.embedding_space_id) as searches{condition}",
        parameters,
    )


def _search_count(engine: Engine, keys: Sequence[str]) -> int:
    source, parameters = _searches(engine, keys)
    ((count,),) = engine.query(f"select count(*) from {source}", parameters)
    return count


def _slowest(engine: Engine, keys: Sequence[str]) -> list[LoggedSearch]:
    source, parameters = _searches(engine, keys)
    timed = f"{source} and latency_ms is not null"
    return _select(engine, LoggedSearch, timed, parameters, "latency_ms desc, retrieval_id", SLOWEST)


def _latest_evaluations(judged: Sequence[Quality], series: Sequence[Asked]) -> list[str]:
    """The latest evaluation of each series; the rows come in the order of time."""
    latest = {asked(row): row.evaluation_id for row in judged}
    return [latest[each] for each in series]


def _worst(engine: Engine, evaluation_id: str) -> list[QueryQuality]:
    source = f"{engine.table('retrieval_quality_query')} as scores where evaluation_id = ? and ndcg_at_10 is not null"
    return _select(engine, QueryQuality, source, [evaluation_id], "ndcg_at_10, reciprocal_rank, query_id", WORST)


# Maps


def _maps(engine: Engine, keys: Sequence[str]) -> list[SpaceMap]:
    condition, parameters = _among(["space_key"], keys)
    counts = engine.query(
        "select spaces.space_key, spaces.embedding_space_id, count(*)"
        f" from {engine.table('embedding_current')} as vectors inner join {engine.table('embedding_space')} as spaces"
        f" on spaces.embedding_space_id = vectors.embedding_space_id{condition}"
        " group by spaces.space_key, spaces.embedding_space_id order by spaces.space_key",
        parameters,
    )
    limit = min(MAP_CHUNKS, ALL_MAPS_CHUNKS // max(len(counts), 1))
    return [_map(engine, key, space_id, count, limit) for key, space_id, count in counts]


def _map(engine: Engine, space_key: str, embedding_space_id: str, count: int, limit: int) -> SpaceMap:
    """Chunk ids are digests, so the first of them are a sample that no property of a chunk decides."""
    vectors, chunk = engine.table("embedding_current"), engine.table("chunk")
    rows = engine.stream(
        "select vectors.vector, chunk.chunk_id, chunk.source_id, chunk.source_type, source.title, chunk.offsets_json,"
        f" chunk.content from {vectors} as vectors inner join {chunk} as chunk on chunk.chunk_id = vectors.chunk_id"
        f" left join {engine.table('source_registry')} as source on source.source_id = chunk.source_id"
        " where vectors.embedding_space_id = ? and vectors.chunk_id in (select sampled.chunk_id"
        f" from {vectors} as sampled where sampled.embedding_space_id = ? order by sampled.chunk_id{_first(limit)})"
        " order by chunk.chunk_id",
        [embedding_space_id, embedding_space_id],
    )
    sample, chunks = [], []
    for vector, *about in rows:
        sample.append(np.array(engine.decode_vector(vector), dtype=np.float32))
        chunks.append(about)
    coordinates, shares = project_plane(np.array(sample))
    points = [
        MapPoint(chunk_id, source_id, source_type, title, _chunk_index(offsets), content, float(x), float(y))
        for (chunk_id, source_id, source_type, title, offsets, content), (x, y) in zip(chunks, coordinates, strict=True)
    ]
    return SpaceMap(space_key, count, points, (float(shares[0]), float(shares[1])))


def _chunk_index(offsets_json: str | None) -> int | None:
    index = json_object(offsets_json).get("chunk_index")
    return index if type(index) is int else None
