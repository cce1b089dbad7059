"""Series: evaluations that were asked in one way, what that way is called, and which series come first."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from vector.commands.wording import excerpt
from vector.report import charts
from vector.report.rows import Asked, Comparison, Drift
from vector.search_policy import BY_SOURCE, MODES, SearchPolicy

FILTER_TEXT = 80  # characters
# Of a policy: what every search of a method, or of a space, has.
_GIVEN = ("method", "distance_metric")


@dataclass(frozen=True)
class Series:
    """A series: its sign on the charts and its name."""

    sign: int
    name: str


def asked(row: Asked) -> Asked:
    """What the row's evaluation shares with the others of its series."""
    return Asked(row.space_key, row.query_set, row.search_method, row.policy_json, row.filters_json, row.top_k)


def ordered_series(rows: Iterable[Asked], live: Collection[str] = ()) -> list[Asked]:
    """Each series once: plain ones first, that is those without a filter that vary nothing but the method; of these,
    the live spaces' first."""
    return sorted({asked(row) for row in rows}, key=lambda one: _rank(one, live))


def _rank(one: Asked, live: Collection[str]) -> tuple[Any, ...]:
    return variations(one), one.space_key not in live, one.space_key, *place(one), str(one)


def variations(row: Asked | Comparison | Drift) -> int:
    """In how many ways a row's searches are not those that an evaluation makes when nothing but its method is said."""
    given = _object(policy(row))
    # A hybrid evaluation has every setting that has a default. The language is the warehouse's.
    plain = replace(BY_SOURCE, mode="hybrid").to_json(row.top_k, "")
    settings = (given.keys() | {"per_source"}) - set(_GIVEN)
    varied = {name for name in settings if _without_language(given.get(name)) != plain.get(name)}
    return len(varied) + (row.filters_json is not None)


def _without_language(value: Any) -> Any:
    return {name: each for name, each in value.items() if name != "language"} if isinstance(value, dict) else value


def place(row: Asked | Comparison | Drift) -> tuple[str, int, int]:
    """Where a row comes among those that were asked in another way: by query set, method and number of hits."""
    method = MODES.index(row.search_method) if row.search_method in MODES else len(MODES)
    return row.query_set, method, -row.top_k


def name_series(ordered: Iterable[Asked]) -> dict[Asked, Series]:
    """A sign and a name for each series, in their order. Beyond the signs that there are, series share the last."""
    names = {one: f"{one.space_key}, {how(one)}" for one in ordered}
    doubles = {name for name, count in Counter(names.values()).items() if count > 1}
    return {
        one: Series(min(i, charts.REST), f"{name}, {one.policy_json}" if name in doubles else name)
        for i, (one, name) in enumerate(names.items())
    }


def how(row: Asked | Comparison | Drift) -> str:
    """`dense, mmr 0.5, top 100, set demo`, and the filters, of a row."""
    parts = [
        row.search_method or "unknown method",
        *differences(policy(row), row.top_k),
        f"top {row.top_k}",
        f"set {row.query_set}",
        filtered(row.filters_json),
    ]
    return ", ".join(filter(None, parts))


def policy(row: Asked | Comparison | Drift) -> str | None:
    """The policy of a row's searches; of two spaces, what they were both asked."""
    return row.policy_json if isinstance(row, Asked) else row.asked_policy_json


def ranked(policy_json: str | None, top_k: int) -> str:
    """`dense, mmr 0.5`: how a logged search ranked."""
    return ", ".join([str(_object(policy_json).get("method", "")), *differences(policy_json, top_k)])


def differences(policy_json: str | None, top_k: int) -> list[str]:
    """What a logged policy has besides its method and that method's defaults: `["min_score 0.4", "fusion k 20"]`."""
    # A hybrid search by default has every setting that has a default.
    plain = SearchPolicy("hybrid").to_json(top_k, "")
    given = _object(policy_json)
    return [
        f"{name} {_difference(value, plain.get(name))}"
        for name, value in sorted(given.items())
        if name not in _GIVEN and value != plain.get(name)
    ]


def _difference(value: Any, plain: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    usual = plain if isinstance(plain, dict) else {}
    return " ".join(f"{name} {each}" for name, each in value.items() if each != usual.get(name))


def filtered(filters_json: str | None) -> str:
    """`source_type page, event; tags lang=en`, cut where that is long."""
    return excerpt("; ".join(f"{name} {_values(value)}" for name, value in _object(filters_json).items()), FILTER_TEXT)


def _values(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ", ".join("=".join(map(str, each)) if isinstance(each, list) else str(each) for each in value)


def _object(text: str | None) -> dict[str, Any]:
    """The JSON object of a column; what is none is shown as it stands."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"unreadable": text}
