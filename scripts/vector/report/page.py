"""The page: a Jinja template with everything in it, and nothing that is fetched.

Texts of chunks and questions are hostile until proven otherwise: the template escapes all it is given, and the page's
own Content-Security-Policy lets it run this package's script, named by its hash, and load nothing (W3C, Content
Security Policy Level 3).
"""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from vector.commands.wording import counted, duration, excerpt
from vector.errors import ConfigurationError
from vector.redaction import REDACTED
from vector.report import charts, series, views
from vector.report.rows import Report

QUESTION = 200  # characters of a question or an error
ENGINES = {"duckdb": "DuckDB", "sqlserver": "SQL Server"}


def render(report: Report, docs: str | None = None) -> str:
    """The page as HTML. `docs` is where the project's docs are, relative or absolute; without it nothing is linked."""
    style, script = _resource("page.css"), _resource("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none';"
        " form-action 'none'"
    )
    named = series.name_series(report.series, report.search_language)
    shown = dict(list(named.items())[: views.SERIES_SHOWN])
    drawn = {key: each for key, each in named.items() if each.sign < charts.SERIES}
    pairs = views.pairs(report)
    return (
        _environment(docs)
        .get_template("report.html.j2")
        .render(
            report=report,
            style=Markup(style),
            script=Markup(script),
            policy=policy,
            place=f"{ENGINES.get(report.engine, report.engine)}, schema {report.schema}",
            position={key: i for i, key in enumerate(report.spaces)},
            totals=views.space_totals(report),
            series=shown,
            series_count=len(named),
            drawn=drawn,
            quality=views.latest_quality(report.quality, shown),
            to_evaluate=_first_to_evaluate(report),
            unjudged=[row for row in report.quality if row.metric is None],
            trends=views.trend_charts(report, drawn),
            changes=views.changes(report.trend, shown),
            worst=views.worst_questions(report, named),
            pairs=pairs[: views.PAIRS_SHOWN],
            pair_count=len(pairs),
            maps=views.map_views(report.maps),
        )
    )


def _first_to_evaluate(report: Report) -> str:
    """The space that search uses, else an active one."""
    ordered = sorted(report.statuses, key=lambda space: (not space.is_default, not space.is_active, space.space_key))
    return ordered[0].space_key if ordered else "KEY"


def _resource(name: str) -> str:
    return (files("vector.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The hash by which a policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _environment(docs: str | None) -> Environment:
    environment = Environment(
        loader=PackageLoader("vector.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "utc": _utc,
        "text": lambda text: excerpt(text, QUESTION),
        "counted": counted,
        "duration": duration,
        "filtered": series.filtered,
        "breakable": lambda key: escape(key).replace("_", Markup("_<wbr>")),
    }
    environment.globals |= {
        "charts": charts,
        "asked": series.asked,
        "ranked": series.ranked,
        "verdict": views.verdict,
        "redacted": REDACTED,
        "docs": lambda page, name: _docs_link(docs, page, name),
        "limits": views,
    }
    return environment


def _number(value: Any, places: int = 0, sign: bool = False) -> Markup:
    """The number as people read it; the element's `value` has all of its digits."""
    if value is None:
        return Markup('<span class="none">–</span>')
    exact = value if isinstance(value, int) else float(value)
    shown = f"{exact:{'+' if sign else ''},.{places}f}"
    if not shown.strip("+-0.,"):
        shown = shown.lstrip("+-")  # what is rounded to nothing has no direction
    return Markup('<data value="{}">{}</data>').format(repr(exact), shown.replace("-", "−"))


def _utc(when: datetime | str | None, shown: str = "%Y-%m-%d %H:%M") -> Markup:
    if when is None:
        return Markup('<span class="none">–</span>')
    if isinstance(when, str):  # DuckDB's, of a year that Python does not know
        return Markup("{}").format(when)
    return Markup('<time datetime="{}Z">{}</time>').format(f"{when:%Y-%m-%dT%H:%M:%S}", when.strftime(shown))


def _docs_link(docs: str | None, page: str, name: str) -> Markup:
    if docs is None:
        return Markup("docs/{}").format(page.partition("#")[0])
    return Markup('<a href="{}/{}">{}</a>').format(docs.rstrip("/"), page, name)


# The file


def checked_out(out: Path) -> Path:
    """The path of the page. Raises ConfigurationError where no file can be written there."""
    if out.is_dir():
        raise ConfigurationError(f"--out {out} is a folder; name a file, such as {out / 'report.html'}")
    if not out.absolute().parent.is_dir():
        raise ConfigurationError(f"--out {out}: there is no folder {out.absolute().parent}; make it first")
    if not os.access(out.absolute().parent, os.W_OK):
        raise ConfigurationError(f"--out {out}: the folder {out.absolute().parent} is not writable; name another")
    return out


def write(out: Path, html: str) -> int:
    """Replaces the file as a whole, so that no reader sees half of a page; its bytes."""
    content = html.encode("utf-8")
    beside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    return len(content)
