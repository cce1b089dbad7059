"""The page: a Jinja template with everything in it, and nothing that is fetched.

Texts of chunks and questions are hostile until proven otherwise: the template escapes all it is given, and the page's
own Content-Security-Policy lets it run the charting library and this package's script, named by their hashes, and load
nothing (W3C, Content Security Policy Level 3).
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vector.errors import ConfigurationError
from vector.report import gather
from vector.report.gather import Report
from vector.wording import counted, excerpt, finite, printable

TEXT = 200  # characters of an error or another text
ENGINES = {"duckdb": "DuckDB", "sqlserver": "SQL Server"}
INSTALL = 'pip install "vector-runtime[report]"'


def render(report: Report, docs: str | None = None) -> str:
    """The page as HTML. `docs` is where the project's docs are, relative or absolute; without it nothing is linked.

    Raises ConfigurationError where the charting library is not installed.
    """
    scripts = [_charting_library(), _resource("page.js")]
    # Styles are not scripts: the library sets some, and there is nothing that they could load.
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {' '.join(map(_hash, scripts))};"
        " base-uri 'none'; form-action 'none'"
    )
    return (
        _environment(docs)
        .get_template("report.html.j2")
        .render(
            report=report,
            specs=_printable(finite(_specs(report))),
            style=Markup(_resource("page.css")),
            scripts=[Markup(script) for script in scripts],
            policy=Markup(policy),
            place=f"{ENGINES.get(report.engine, report.engine)}, schema {report.schema}",
            latest=_latest(report),
            to_evaluate=_first_to_evaluate(report),
            wide=("series", "last_error", "error"),
        )
    )


@cache
def _charting_library() -> str:
    """Vega-Embed with Vega-Lite and Vega, as one script."""
    try:
        from vl_convert import javascript_bundle
    except ImportError:
        raise ConfigurationError(f"the report is drawn by Altair, which is not installed: {INSTALL}") from None
    # As HTML is read: a browser hashes what it has parsed.
    bundle: str = javascript_bundle()  # type: ignore[call-arg]  # its types know no default
    return bundle.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _specs(report: Report) -> dict[str, dict[str, Any]]:
    try:
        from vector.report import charts
    except ImportError:
        raise ConfigurationError(f"the report is drawn by Altair, which is not installed: {INSTALL}") from None
    maps = {f"map{i}": charts.space_map(each) for i, each in enumerate(report.maps)}
    drawn = (charts.coverage, charts.queue, charts.quality, charts.cost)
    return {**maps, **{draw.__name__: draw(report) for draw in drawn}}


def _printable(value: Any) -> Any:
    """The value with its texts printable: characters that change the direction of writing, or are invisible, mislead a
    browser too. Markup is left alone, as it is this module's own."""
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _latest(report: Report) -> list[dict[str, Any]]:
    """The rows of each series' latest evaluation, by series; they come in the order of time."""
    latest = {row["series"]: row["evaluation_id"] for row in report.quality}
    rows = [row for row in report.quality if row["evaluation_id"] == latest[row["series"]]]
    return sorted(rows, key=lambda row: (row["series"], row["metric"]))


def _first_to_evaluate(report: Report) -> str:
    """The space that search uses, else an active one."""
    ordered = sorted(report.statuses, key=lambda row: (not row["is_default"], not row["is_active"], row["space_key"]))
    return ordered[0]["space_key"] if ordered else "KEY"


def _resource(name: str) -> str:
    return (files("vector.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The hash by which a policy names an inline script."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"


def _environment(docs: str | None) -> Environment:
    environment = Environment(
        loader=PackageLoader("vector.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": _cell, "utc": _utc, "counted": counted}
    environment.globals |= {"docs": lambda page, name: _docs_link(docs, page, name), "limits": gather}
    return environment


def _cell(value: Any, places: int | None) -> Markup | str:
    """A value as people read it; of a number, with so many decimal places, the element's `value` has all digits."""
    if value is None:
        return Markup('<span class="none">–</span>')
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if places is None:
        return Markup("<bdi>{}</bdi>").format(excerpt(str(value), TEXT))
    exact = value if isinstance(value, int) else float(value)
    shown = f"{exact:,.{places}f}"
    if not shown.strip("-0.,"):
        shown = shown.lstrip("-")  # what is rounded to nothing has no direction
    return Markup('<data value="{}">{}</data>').format(repr(exact), shown.replace("-", "−"))


def _utc(when: datetime | str) -> Markup:
    if isinstance(when, str):  # DuckDB's, of a year that Python does not know
        return Markup("{}").format(when)
    return Markup('<time datetime="{}Z">{}</time>').format(f"{when:%Y-%m-%dT%H:%M:%S}", f"{when:%Y-%m-%d %H:%M}")


def _docs_link(docs: str | None, page: str, name: str) -> Markup:
    if docs is None:
        return Markup("docs/{}").format(page.partition("#")[0])
    return Markup('<a href="{}/{}">{}</a>').format(docs.rstrip("/"), page, name)
