"""The charts of the report, drawn in the browser by Vega-Lite (Satyanarayan et al. 2017, https://vega.github.io)."""

from __future__ import annotations

from typing import Any

import altair as alt

from vector.contracts.ledgers import utc_of
from vector.report.gather import Report, Row, SpaceMap

STATES = ("current", "pending", "quarantined")
QUEUE_STATES = ("due", "delayed", "running", "lapsed", "dead")
METRICS = ("nDCG@10", "RR", "P@10", "R@10", "R@100")
WIDTH, HEIGHT = 260, 180

Spec = dict[str, Any]


def coverage(report: Report) -> Spec:
    """Chunks by state, a bar a source type, a panel a space."""
    chart = alt.Chart(alt.NamedData("rows")).mark_bar().encode(
        alt.X("sum(chunks):Q", stack="normalize", title=None, axis=alt.Axis(format="%")),
        alt.Y("source_type:N", title=None),
        alt.Color("state:N", sort=list(STATES), title=None, scale=alt.Scale(domain=list(STATES))),
        order=alt.Order("rank:Q"),
        tooltip=["space_key:N", "source_type:N", "state:N", "chunks:Q"],
    ).properties(width=WIDTH).facet(alt.Facet("space_key:N", title=None), columns=2)  # fmt: skip
    return _spec(chart, _by_state(report.coverage, "chunks", STATES))


def queue(report: Report) -> Spec:
    """Jobs by state, a bar a kind of job."""
    chart = alt.Chart(alt.NamedData("rows")).mark_bar().encode(
        alt.X("sum(jobs):Q", title="jobs", axis=alt.Axis(tickMinStep=1)),
        alt.Y("job_type:N", title=None),
        alt.Color("state:N", sort=list(QUEUE_STATES), title=None, scale=alt.Scale(domain=list(QUEUE_STATES))),
        order=alt.Order("rank:Q"),
        tooltip=["job_type:N", "state:N", "jobs:Q"],
    ).properties(width=2 * WIDTH)  # fmt: skip
    return _spec(chart, _by_state(report.queue, "jobs", QUEUE_STATES))


def quality(report: Report) -> Spec:
    """Mean and 95% interval of every evaluation in time, a line a series, a panel a metric."""
    legend = alt.Legend(orient="top", columns=1, labelLimit=600)
    base = alt.Chart(alt.NamedData("rows")).encode(
        alt.X("evaluated:T", title=None),
        alt.Color("series:N", title=None, legend=legend),
        tooltip=["series:N", "metric:N", "evaluated:T", "mean_score:Q", "ci_lower:Q", "ci_upper:Q", "query_count:Q"],
    )
    mean = alt.Y("mean_score:Q", title=None, scale=alt.Scale(domain=[0, 1]))
    layers = base.mark_line().encode(mean) + base.mark_point(filled=True, size=50).encode(
        mean, alt.Shape("series:N", title=None, legend=legend)
    )
    interval = base.mark_rule().encode(alt.Y("ci_lower:Q", title=None), alt.Y2("ci_upper:Q"))
    chart = (interval + layers).properties(width=WIDTH, height=HEIGHT)
    columns = "series metric mean_score ci_lower ci_upper query_count".split()
    rows = [
        {**{name: row[name] for name in columns}, "evaluated": utc_of(row["evaluated_utc"]).isoformat()}
        for row in report.quality
    ]
    return _spec(chart.facet(alt.Facet("metric:N", sort=list(METRICS), title=None), columns=3), rows)


def cost(report: Report) -> Spec:
    """Tokens sent to the models, a bar a day."""
    chart = alt.Chart(alt.NamedData("rows")).mark_bar().encode(
        alt.X("day:O", title=None),
        alt.Y("sum(tokens):Q", title="tokens"),
        alt.Color("space_key:N", title=None),
        tooltip=["day:O", "space_key:N", "tokens:Q", "cost:Q", "vectors:Q"],
    ).properties(width=2 * WIDTH, height=HEIGHT)  # fmt: skip
    return _spec(chart, report.cost)


def space_map(shown: SpaceMap) -> Spec:
    """The chunks on their plane, one unit as long as the other; colour and shape are the source type."""
    reach = max((abs(point[axis]) for point in shown.points for axis in "xy"), default=0) or 1
    scale = alt.Scale(domain=[-1.05 * reach, 1.05 * reach])
    chart = alt.Chart(alt.NamedData("rows")).mark_point(filled=True, opacity=0.7).encode(
        alt.X("x:Q", axis=None, scale=scale),
        alt.Y("y:Q", axis=None, scale=scale),
        alt.Color("source_type:N", title=None, legend=alt.Legend(orient="bottom", columns=3)),
        alt.Shape("source_type:N", title=None),
        tooltip=["title:N", "source:N", "source_type:N", "text:N"],
    ).properties(width=420, height=420)  # fmt: skip
    return _spec(chart, shown.points)


def _by_state(rows: list[Row], counted: str, states: tuple[str, ...]) -> list[Row]:
    return [
        {**{name: row[name] for name in ("space_key", "source_type", "job_type") if name in row},
         "state": state, "rank": rank, counted: int(row[f"{state}_count"])}
        for row in rows
        for rank, state in enumerate(states)
    ]  # fmt: skip


def _spec(chart: Any, rows: list[Row]) -> Spec:
    """The chart with its rows, which are not checked one by one."""
    return {**chart.to_dict(), "datasets": {"rows": rows}}
