"""Reads what the report shows from the marts, in the words of SQL that both engines share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from vector.contracts.json_column import json_object, number_in
from vector.contracts.ledgers import utc_of
from vector.contracts.models import JobType
from vector.engines.base import Engine
from vector.engines.vector_cache import usable_vector
from vector.errors import ConfigurationError
from vector.store import VectorStore
from vector.store.spaces import space_of_key
from vector.wording import excerpt

Row = dict[str, Any]

# What the page needs; dbt builds all of it.
RELATIONS = (
    "space_status space_coverage job_queue_health dead_letter run_history evaluation retrieval_quality space_comparison"
    " embedding_space embedding_current chunk source_registry"
).split()

LATEST = 20  # dead jobs and runs
COST_RUNS = 1000
# Chunks on a map, and on all maps of the page: more of them are slow in a browser and tell no more.
MAP_CHUNKS = 5000
ALL_MAPS_CHUNKS = 20_000
MAP_TEXT = 240  # characters


@dataclass(frozen=True)
class SpaceMap:
    """Chunks of a space on a plane. `chunk_count` chunks have a vector; the first of them, by chunk id, are `points`,
    with the keys x, y, source_type, source, title, text. `shares` is how much of the variance each axis shows, 0 to
    1."""

    space_key: str
    chunk_count: int
    points: list[Row]
    shares: tuple[float, float]


@dataclass(frozen=True)
class Report:
    """All that the page shows, a list of rows a mart, by its columns. `spaces` are the keys that were chosen;
    `all_spaces` says that none was left out. `quality` has a `series` besides: the space and how it was asked."""

    made_utc: datetime
    engine: str
    schema: str
    spaces: list[str]
    all_spaces: bool
    statuses: list[Row]
    coverage: list[Row]
    queue: list[Row]
    dead: list[Row]
    dead_count: int
    runs: list[Row]
    run_count: int
    quality: list[Row]
    comparisons: list[Row]
    cost: list[Row]
    maps: list[SpaceMap]


def gather(store: VectorStore, space_keys: Sequence[str] | None = None) -> Report:
    """What the report shows of these spaces, or of all, inactive ones included.

    The queue and its runs are shown whole. Raises ConfigurationError where a space is unknown, or dbt has not built
    what is read.
    """
    engine = store.engine
    if missing := engine.missing_relations(RELATIONS):
        raise ConfigurationError(f"{', '.join(missing)} not built in schema {engine.schema}; run `dbt build` first")
    known = sorted(space.space_key for space in store.list_embedding_spaces(active_only=False))
    keys = sorted({space_of_key(store, key).space_key for key in space_keys}) if space_keys else known
    return Report(
        made_utc=engine.utc_now(),
        engine=engine.name,
        schema=engine.schema,
        spaces=keys,
        all_spaces=keys == known,
        statuses=_read(
            engine, "space_key status is_active is_default since_utc", "space_status", keys, order="space_key"
        ),
        coverage=_read(
            engine,
            "space_key source_type coverage_percent chunk_count current_count pending_count quarantined_count"
            " truncated_count stale_count",
            "space_coverage",
            keys,
            order="space_key, source_type",
        ),
        queue=_read(
            engine,
            "job_type due_count delayed_count running_count lapsed_count dead_count oldest_due_seconds"
            " succeeded_run_count failed_run_count jobs_per_hour failure_percent average_seconds",
            "job_queue_health",
            order="job_type",
        ),
        dead=_read(
            engine,
            "completed_utc job_type space_key dead_reason attempt_count last_error job_id",
            "dead_letter",
            order="completed_utc desc, job_id",
            limit=LATEST,
        ),
        dead_count=_count(engine, "dead_letter"),
        runs=_read(
            engine,
            "started_utc job_type status space_key run_number seconds error worker_id",
            "run_history",
            order="started_utc desc, run_id",
            limit=LATEST,
        ),
        run_count=_count(engine, "run_history"),
        quality=_quality(engine, keys),
        comparisons=_comparisons(engine, keys),
        cost=_cost(engine, keys),
        maps=_maps(engine, keys),
    )


def _read(
    engine: Engine,
    columns: str,
    relation: str,
    keys: Sequence[str] | None = None,
    *,
    order: str,
    limit: int | None = None,
) -> list[Row]:
    """These columns of a relation; with `keys`, of these spaces only."""
    condition, parameters = ("", []) if keys is None else _among(["space_key"], keys)
    sql = f"from {engine.table(relation)} as rows_read{condition} order by {order}{_first(limit)}"
    return _select(engine, columns, sql, parameters)


def _select(engine: Engine, columns: str, source: str, parameters: Sequence[Any]) -> list[Row]:
    """The rows of a select; a column may be named with its table."""
    names = columns.split()
    rows = engine.query(f"select {', '.join(names)} {source}", parameters)
    return [dict(zip((name.rpartition(".")[2] for name in names), row, strict=True)) for row in rows]


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


# Evaluations


def _quality(engine: Engine, keys: Sequence[str]) -> list[Row]:
    """Every evaluation and metric by time, with its series."""
    condition, parameters = _among(["evaluations.space_key"], keys)
    rows = _select(
        engine,
        "evaluations.evaluation_id evaluations.space_key evaluations.query_set evaluations.search_method"
        " evaluations.asked_policy_json evaluations.filters_json evaluations.top_k evaluations.evaluated_utc"
        " evaluations.missing_query_count quality.metric quality.mean_score quality.ci_lower quality.ci_upper"
        " quality.query_count",
        f"from {engine.table('retrieval_quality')} as quality inner join {engine.table('evaluation')} as evaluations"
        f" on evaluations.evaluation_id = quality.evaluation_id{condition}"
        " order by evaluations.evaluated_utc, evaluations.evaluation_id, quality.metric",
        parameters,
    )
    names = series_names({_way(row) for row in rows})
    return [{**row, "series": names[_way(row)]} for row in rows]


def _way(row: Row) -> tuple[Any, ...]:
    """The space of an evaluation, and all of how it was asked."""
    columns = "space_key query_set search_method asked_policy_json filters_json top_k".split()
    return tuple(row[name] for name in columns)


def series_names(ways: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], str]:
    """A unique name for each way of asking: space, method, number of hits and query set, and where that is not unique,
    the policy and the filters too."""
    short = {way: f"{way[0]}, {way[2] or 'unknown method'}, top {way[5]}, {way[1]}" for way in sorted(ways, key=str)}
    times = Counter(short.values())
    return {way: ", ".join([name, *(filter(None, way[3:5]) if times[name] > 1 else ())]) for way, name in short.items()}


def _comparisons(engine: Engine, keys: Sequence[str]) -> list[Row]:
    """The comparisons of the latest evaluations of each pair of spaces, by way of asking and metric."""
    condition, parameters = _among(["space_key_a", "space_key_b"], keys)
    rows = _select(
        engine,
        "space_key_a space_key_b evaluations.search_method evaluations.query_set evaluations.asked_policy_json"
        " evaluations.filters_json evaluations.top_k metric verdict mean_a mean_b mean_difference"
        " comparisons.ci_lower comparisons.ci_upper p_value win_count loss_count tie_count",
        f"from {engine.table('space_comparison')} as comparisons inner join {engine.table('evaluation')} as evaluations"
        f" on evaluations.evaluation_id = comparisons.evaluation_id_b{condition}"
        " order by evaluations.evaluated_utc, evaluations.evaluation_id, space_key_a, metric",
        parameters,
    )
    latest = {}
    for row in rows:
        pair = frozenset((row["space_key_a"], row["space_key_b"]))
        latest[(pair, _way({**row, "space_key": None}), row["metric"])] = row
    return list(latest.values())


# Cost


def _cost(engine: Engine, keys: Sequence[str]) -> list[Row]:
    """What the latest runs that embed sent to the models, by day and space; `cost` is None of a space without a
    price."""
    condition, parameters = _among(["space_key"], keys)
    rows = engine.query(
        f"select started_utc, space_key, metrics_json from {engine.table('run_history')} as runs{condition}"
        f" and job_type in (?, ?) and metrics_json is not null order by started_utc desc, run_id{_first(COST_RUNS)}",
        [*parameters, JobType.EMBED_CHUNKS.value, JobType.REEMBED_SPACE.value],
    )
    days: dict[tuple[str, str], Row] = defaultdict(lambda: {"vectors": 0, "requests": 0, "tokens": 0, "cost": None})
    for started, key, text in rows:
        metrics, row = json_object(text), days[f"{utc_of(started):%Y-%m-%d}", key]
        row["vectors"] += number_in(metrics, "written")
        row["requests"] += number_in(metrics, "requests") + number_in(metrics, "canary_requests")
        row["tokens"] += number_in(metrics, "input_tokens") + number_in(metrics, "canary_tokens")
        if metrics.get("cost") is not None:
            row["cost"] = (row["cost"] or 0) + number_in(metrics, "cost")
    return [{"day": day, "space_key": key, **row} for (day, key), row in sorted(days.items())]


# Maps


def _maps(engine: Engine, keys: Sequence[str]) -> list[SpaceMap]:
    condition, parameters = _among(["spaces.space_key"], keys)
    counts = engine.query(
        "select spaces.space_key, spaces.embedding_space_id, spaces.dimensions, count(*)"
        f" from {engine.table('embedding_current')} as vectors inner join {engine.table('embedding_space')} as spaces"
        f" on spaces.embedding_space_id = vectors.embedding_space_id{condition}"
        " group by spaces.space_key, spaces.embedding_space_id, spaces.dimensions order by spaces.space_key",
        parameters,
    )
    limit = min(MAP_CHUNKS, ALL_MAPS_CHUNKS // max(len(counts), 1))
    return [_map(engine, *space, limit) for space in counts]


def _map(engine: Engine, space_key: str, embedding_space_id: str, dimensions: int, count: int, limit: int) -> SpaceMap:
    """Chunk ids are digests, so the first of them are a sample that no property of a chunk decides."""
    vectors, chunk = engine.table("embedding_current"), engine.table("chunk")
    rows = engine.stream(
        "select vectors.vector, chunk.source_id, chunk.source_type, source.title, chunk.content"
        f" from {vectors} as vectors inner join {chunk} as chunk on chunk.chunk_id = vectors.chunk_id"
        f" left join {engine.table('source_registry')} as source on source.source_id = chunk.source_id"
        " where vectors.embedding_space_id = ? and vectors.chunk_id in (select sampled.chunk_id"
        f" from {vectors} as sampled where sampled.embedding_space_id = ? order by sampled.chunk_id{_first(limit)})"
        " order by chunk.chunk_id",
        [embedding_space_id, embedding_space_id],
    )
    sample, points = [], []
    for stored, source_id, source_type, title, content in rows:
        vector = None
        with suppress(TypeError, ValueError):
            vector = usable_vector(engine.decode_vector(stored), dimensions)
        if vector is None:
            continue
        sample.append(vector)
        text = {"title": excerpt(title or "", 80), "text": excerpt(content, MAP_TEXT)}
        points.append({"source_type": source_type, "source": source_id, **text})
    places, shares = principal_plane(np.array(sample).reshape(len(sample), dimensions))
    return SpaceMap(
        space_key,
        count,
        [{"x": float(x), "y": float(y), **point} for (x, y), point in zip(places, points, strict=True)],
        (float(shares[0]), float(shares[1])),
    )


def principal_plane(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of n vectors on their first two principal components, (n, 2), and the share of the variance that
    each shows, (2,): by singular values (Jolliffe 2002, section 3.5), zeros where all vectors are alike."""
    if not len(vectors):
        return np.zeros((0, 2)), np.zeros(2)
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    if len(centred) < 2 or centred.shape[1] < 2:
        centred = np.pad(centred, ((0, max(0, 2 - len(centred))), (0, max(0, 2 - centred.shape[1]))))
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    # What is left of equal vectors is rounding, not variance.
    values = np.where(values > 1e-10 * np.linalg.norm(vectors), values, 0)
    total = np.square(values).sum()
    return (left * values)[: len(vectors), :2], np.square(values[:2]) / (total or 1)
