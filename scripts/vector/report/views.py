"""The rows of a report arranged as the page shows them: series named, pairs of spaces put together, charts drawn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeVar

from markupsafe import Markup

from vector.commands.wording import excerpt
from vector.report import charts
from vector.report.rows import Asked, Comparison, Coverage, Drift, Quality, Report, SpaceMap, Trend

T = TypeVar("T")

METRICS = ("nDCG@10", "RR", "P@10", "R@10", "R@100")
TREND_EVALUATIONS = 30  # of a series
LEAST_ALIKE = 5  # questions of a pair of spaces
STEPS = 10  # of the histogram
MAP_TEXT = 240  # characters


@dataclass(frozen=True)
class Series:
    """Evaluations that were asked in one way: its sign on the charts and its name."""

    sign: int
    name: str


@dataclass(frozen=True)
class SpaceTotal:
    """The coverage of a space over all source types."""

    space_key: str
    is_active: bool
    chunk_count: int
    current_count: int
    pending_count: int
    quarantined_count: int


@dataclass(frozen=True)
class Pair:
    """Two spaces that were asked the same questions in one way. Means are over the questions that have the measure;
    `counts` are the questions by rank-biased overlap, in tenths."""

    space_key_a: str
    space_key_b: str
    how: str
    comparisons: list[Comparison]
    reach: float
    question_count: int
    mean_overlap: float | None
    mean_jaccard: float | None
    mean_rank_biased_overlap: float | None
    counts: list[int]
    least_alike: list[Drift]


@dataclass(frozen=True)
class MapView:
    """A drawn map. `legend` has the sign, the name and the number of points of each source type."""

    space_map: SpaceMap
    drawing: Markup
    legend: list[tuple[int, str, int]]


def space_totals(coverage: Iterable[Coverage]) -> list[SpaceTotal]:
    """The sums of each space."""
    totals = []
    for space_key, rows in _grouped(coverage, lambda row: row.space_key).items():
        counts = [
            sum(getattr(row, name) for row in rows)
            for name in ("chunk_count", "current_count", "pending_count", "quarantined_count")
        ]
        totals.append(SpaceTotal(space_key, rows[0].is_active, *counts))
    return totals


# Quality


def asked(row: Asked) -> Asked:
    """What the row's evaluation shares with the others of its series."""
    return Asked(row.space_key, row.query_set, row.search_method, row.policy_json, row.filters_json, row.top_k)


def name_series(rows: Iterable[Asked]) -> dict[Asked, Series]:
    """A sign and a name for each series. Beyond the signs that there are, series share the last one."""
    each = sorted({asked(row) for row in rows}, key=str)
    names = {one: f"{one.space_key}, {how(one)}" for one in each}
    doubles = {name for name, count in Counter(names.values()).items() if count > 1}
    return {
        one: Series(min(i, charts.REST), f"{names[one]}, {one.policy_json}" if names[one] in doubles else names[one])
        for i, one in enumerate(each)
    }


def how(row: Asked | Comparison | Drift) -> str:
    """`dense, top 100, set demo`, and the filters."""
    parts = [row.search_method or "unknown method", f"top {row.top_k}", f"set {row.query_set}", row.filters_json]
    return ", ".join(filter(None, parts))


def latest_quality(quality: Sequence[Quality]) -> dict[str, list[Quality]]:
    """The rows of each series' latest evaluation, by metric. The rows come in the order of time."""
    latest = {asked(row): row.evaluation_id for row in quality if row.metric is not None}
    chosen = (row for row in quality if row.metric and row.evaluation_id == latest[asked(row)])
    return _by_metric(sorted(chosen, key=lambda row: str(asked(row))))


def changes(trend: Sequence[Trend]) -> dict[str, list[Trend]]:
    """The rows of each series' latest evaluation that has one before it, by metric."""
    latest = {asked(row): row.evaluation_id for row in trend if row.previous_mean_score is not None}
    return _by_metric([row for row in trend if row.evaluation_id == latest.get(asked(row))])


def trend_charts(report: Report, series: dict[Asked, Series]) -> list[tuple[str, Markup]]:
    """A chart for each metric. Intervals are those of `retrieval_quality`."""
    intervals = {(row.evaluation_id, row.metric): (row.ci_lower, row.ci_upper) for row in report.quality}
    drawn = []
    for metric, rows in _by_metric(report.trend).items():
        lines = []
        for key, points in _grouped(rows, asked).items():
            shown = [
                charts.TrendPoint(
                    row.evaluated_utc, row.mean_score, *intervals.get((row.evaluation_id, metric), (None, None))
                )
                for row in points[-TREND_EVALUATIONS:]
            ]
            lines.append((series[key].sign, series[key].name, shown))
        drawn.append((metric, charts.trend(metric, lines)))
    return drawn


def _by_metric(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found = _grouped(rows, lambda row: row.metric)
    return {metric: found[metric] for metric in [*METRICS, *sorted(found.keys() - set(METRICS))] if metric in found}


# Drift


def pairs(report: Report) -> list[Pair]:
    """Each pair of spaces and way of asking, with its verdicts and its drift."""
    comparisons = _grouped(report.comparisons, lambda row: row.comparison_id)
    drift = _grouped(report.drift, lambda row: row.comparison_id)
    # A pair has questions wherever it has a comparison: both are over the same searches.
    return [_pair(comparisons.get(key, []), rows) for key, rows in drift.items()]


def _pair(comparisons: list[Comparison], drift: list[Drift]) -> Pair:
    def values(name: str) -> list[float]:
        return [getattr(row, name) for row in drift if getattr(row, name) is not None]

    overlaps = values("rank_biased_overlap")
    counted = Counter(min(int(value * STEPS), STEPS - 1) for value in overlaps)
    ordered = sorted(
        (row for row in drift if row.rank_biased_overlap is not None),
        key=lambda row: (row.rank_biased_overlap, row.query_id),
    )
    ends = [abs(end) for row in comparisons for end in (row.ci_lower, row.ci_upper, row.mean_difference)]
    rank = {metric: i for i, metric in enumerate(METRICS)}
    return Pair(
        space_key_a=drift[0].space_key_a,
        space_key_b=drift[0].space_key_b,
        how=how(drift[0]),
        comparisons=sorted(comparisons, key=lambda row: (rank.get(row.metric, len(rank)), row.metric)),
        reach=max(ends, default=0) or 1.0,
        question_count=len(drift),
        mean_overlap=_mean(values("overlap_at_10")),
        mean_jaccard=_mean(values("jaccard")),
        mean_rank_biased_overlap=_mean(overlaps),
        counts=[counted[step] for step in range(STEPS)],
        least_alike=ordered[:LEAST_ALIKE],
    )


def verdict(row: Comparison) -> str:
    """The mart's verdict with the spaces' own names."""
    named = {"A better": f"{row.space_key_a} is better", "B better": f"{row.space_key_b} is better"}
    return named.get(row.verdict, row.verdict)


# Maps


def map_views(maps: Sequence[SpaceMap]) -> list[MapView]:
    """The maps, drawn; a source type has the same sign on all of them, the rarest ones share the last."""
    totals = Counter(point.source_type for each in maps for point in each.points)
    common = sorted(totals, key=lambda name: (-totals[name], name))
    signs = {name: min(i, charts.REST) for i, name in enumerate(common)}
    return [_map_view(each, signs) for each in maps]


def _map_view(space_map: SpaceMap, signs: dict[str, int]) -> MapView:
    dots = []
    for point in space_map.points:
        place = point.source_id if point.chunk_index is None else f"{point.source_id}, chunk {point.chunk_index}"
        # The script of the page takes the first line as the heading.
        head = " · ".join(filter(None, [excerpt(point.title or "", 80), f"{place} ({point.source_type})"]))
        text = f"{' '.join(head.split())}\n{excerpt(point.content, MAP_TEXT)}"
        dots.append(charts.Dot(point.x, point.y, signs[point.source_type], text))
    counts = Counter(point.source_type for point in space_map.points)
    legend = sorted((signs[name], name, count) for name, count in counts.items())
    label = f"{len(dots)} chunks of space {space_map.space_key} on a plane, each signed by its source type"
    return MapView(space_map, charts.scatter(dots, label), legend)


def _grouped(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    groups: dict[Any, list[T]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
