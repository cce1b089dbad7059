"""The rows of a report arranged as the page shows them: series named, pairs of spaces put together, charts drawn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Any, TypeVar

from markupsafe import Markup

from vector.commands.wording import excerpt
from vector.report import charts
from vector.report.rows import Asked, Comparison, Drift, Quality, QueryQuality, Report, SpaceMap, SpaceStatus, Trend
from vector.report.series import Series, asked, how, place, variations

T = TypeVar("T")

METRICS = ("nDCG@10", "RR", "P@10", "R@10", "R@100")
SERIES_SHOWN = 30  # in a table
TREND_EVALUATIONS = 30  # of a series
PAIRS_SHOWN = 20
LEAST_ALIKE = 5  # questions of a pair of spaces
STEPS = 10  # of the histogram
MAP_TEXT = 240  # characters


@dataclass(frozen=True)
class SpaceTotal:
    """A space, and its coverage over all source types: zeros where there are no chunks."""

    space: SpaceStatus
    chunk_count: int
    current_count: int
    pending_count: int
    quarantined_count: int


@dataclass(frozen=True)
class Worst:
    """The worst questions of a series' latest evaluation."""

    series: Series
    space_key: str
    evaluated_utc: datetime
    rows: list[QueryQuality]


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


def space_totals(report: Report) -> list[SpaceTotal]:
    """The sums of each space."""
    names = ("chunk_count", "current_count", "pending_count", "quarantined_count")
    coverage = _grouped(report.coverage, lambda row: row.space_key)
    return [
        SpaceTotal(space, *(sum(getattr(row, name) for row in coverage.get(space.space_key, [])) for name in names))
        for space in report.statuses
    ]


# Quality. Of a report, `series` are those that are shown, in their order; rows come in the order of time.


def latest_quality(quality: Sequence[Quality], series: Mapping[Asked, Series]) -> dict[str, list[Quality]]:
    """The rows of each series' latest evaluation, by metric."""
    judged = [row for row in quality if row.metric is not None]
    latest = {asked(row): row.evaluation_id for row in judged}
    return _by_metric([row for row in judged if row.evaluation_id == latest[asked(row)]], series)


def changes(trend: Sequence[Trend], series: Mapping[Asked, Series]) -> dict[str, list[Trend]]:
    """The rows of each series' latest evaluation that has one before it, by metric."""
    latest = {asked(row): row.evaluation_id for row in trend if row.previous_mean_score is not None}
    return _by_metric([row for row in trend if row.evaluation_id == latest.get(asked(row))], series)


def trend_charts(report: Report, series: Mapping[Asked, Series]) -> list[tuple[str, Markup]]:
    """A chart for each metric. Intervals are those of `retrieval_quality`."""
    intervals = {(row.evaluation_id, row.metric): (row.ci_lower, row.ci_upper) for row in report.quality}
    drawn = []
    for metric, rows in _by_metric(report.trend, series).items():
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


def worst_questions(report: Report, series: Mapping[Asked, Series]) -> list[Worst]:
    """The worst questions, series by series."""
    evaluated = {row.evaluation_id: row.evaluated_utc for row in report.quality}
    return [
        Worst(series[key], key.space_key, evaluated[rows[0].evaluation_id], rows)
        for key, rows in _grouped(report.worst, asked).items()
    ]


def _by_metric(rows: Iterable[Any], series: Mapping[Asked, Series]) -> dict[str, list[Any]]:
    """The rows of these series by metric, in the order of the series and then as they come."""
    place = {key: i for i, key in enumerate(series)}
    found = _grouped((row for row in rows if asked(row) in place), lambda row: row.metric)
    metrics = [*METRICS, *sorted(found.keys() - set(METRICS))]
    return {metric: sorted(found[metric], key=lambda row: place[asked(row)]) for metric in metrics if metric in found}


# Drift


def pairs(report: Report) -> list[Pair]:
    """Each pair of spaces and way of asking, with its verdicts and its drift: first those without a filter, and of
    these first those with the live space."""
    live = {space.space_key for space in report.statuses if space.status == "live"}
    comparisons = _grouped(report.comparisons, lambda row: row.comparison_id)
    drift = _grouped(report.drift, lambda row: row.comparison_id)
    # A pair has questions wherever it has a comparison: both are over the same searches.
    firsts = {key: rows[0] for key, rows in drift.items()}
    ordered = sorted(firsts, key=lambda key: _pair_rank(firsts[key], report.search_language, live))
    return [_pair(comparisons.get(key, []), drift[key], report.search_language) for key in ordered]


def _pair_rank(row: Drift, language: str, live: set[str]) -> tuple[Any, ...]:
    keys = (row.space_key_a, row.space_key_b)
    return variations(row, language), live.isdisjoint(keys), keys, place(row), row.comparison_id


def _pair(comparisons: list[Comparison], drift: list[Drift], language: str) -> Pair:
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
        how=how(drift[0], language),
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
