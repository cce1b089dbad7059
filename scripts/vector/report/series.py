"""Series: evaluations that were asked in one way, what that way is called, and which series come first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from vector.commands.wording import excerpt
from vector.contracts.json_column import UnreadableJson, loaded_json
from vector.language import NEUTRAL
from vector.report import charts
from vector.report.rows import Asked, AskedAlike
from vector.search_policy import BY_SOURCE, DENSE, MODES, SearchPolicy

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


def ordered_series(rows: Iterable[Asked], language: str, live: Collection[str] = ()) -> list[Asked]:
    """Each series once: plain ones first, that is those without a filter that vary nothing but the method; of these,
    the live spaces' first. `language`, here and below, is that of the warehouse's searches."""
    return sorted({asked(row) for row in rows}, key=lambda one: _rank(one, language, live))


def _rank(one: Asked, language: str, live: Collection[str]) -> tuple[Any, ...]:
    return variations(one, language), one.space_key not in live, one.space_key, *place(one), str(one)


def variations(row: Asked | AskedAlike, language: str) -> int:
    """In how many ways a row's searches are not those that an evaluation makes when nothing but its method is said."""
    return len(_varied(policy(row), row.top_k, _plain(BY_SOURCE, language))) + (row.filters_json is not None)


def place(row: Asked | AskedAlike) -> tuple[str, int, int]:
    """Where a row comes among those that were asked in another way: by query set, method and number of hits."""
    method = MODES.index(row.search_method) if row.search_method in MODES else len(MODES)
    return row.query_set, method, -row.top_k


def name_series(ordered: Iterable[Asked], language: str) -> dict[Asked, Series]:
    """A sign and a name for each series, in their order. Beyond the signs that there are, series share the last."""
    names = {one: f"{one.space_key}, {how(one, language)}" for one in ordered}
    doubles = {name for name, count in Counter(names.values()).items() if count > 1}
    return {
        one: Series(min(i, charts.REST), f"{name}, {one.policy_json}" if name in doubles else name)
        for i, (one, name) in enumerate(names.items())
    }


def how(row: Asked | AskedAlike, language: str) -> str:
    """`dense, mmr 0.5, top 100, set demo`, and the filters, of a row: what an evaluation has by default is not said."""
    parts = [
        row.search_method or "unknown method",
        *_differences(policy(row), row.top_k, _plain(BY_SOURCE, language)),
        f"top {row.top_k}",
        f"set {row.query_set}",
        filtered(row.filters_json),
    ]
    return ", ".join(filter(None, parts))


def policy(row: Asked | AskedAlike) -> str | None:
    """The policy of a row's searches; of two spaces, what they were both asked."""
    return row.policy_json if isinstance(row, Asked) else row.asked_policy_json


def ranked(policy_json: str | None, top_k: int, language: str) -> str:
    """`dense, mmr 0.5`: how a logged search ranked; what a search has by default is not said."""
    method = str(_object(policy_json).get("method", ""))
    return ", ".join([method, *_differences(policy_json, top_k, _plain(DENSE, language))])


def _plain(default: SearchPolicy, language: str) -> SearchPolicy:
    """The default, with all that another method has by default: a hybrid search has every setting."""
    return replace(default, mode="hybrid", language=language)


def _differences(policy_json: str | None, top_k: int, plain: SearchPolicy) -> list[str]:
    """What a logged policy has besides its method and what is plain: `["fusion k 20", "language none"]`."""
    return [_difference(name, *values) for name, values in _varied(policy_json, top_k, plain).items()]


def _varied(policy_json: str | None, top_k: int, plain: SearchPolicy) -> dict[str, tuple[Any, Any]]:
    """The settings of a logged policy that are not plain, by name: each beside the plain one. One that its method has
    no use for is not logged; every method can have a limit a source, so that none is a setting, too."""
    usual = _settings(plain.to_json(top_k, ""))
    given = {"per_source": None, **_settings(_object(policy_json))}
    return {name: (value, usual.get(name)) for name, value in sorted(given.items()) if value != usual.get(name)}


def _settings(logged: dict[str, Any]) -> dict[str, Any]:
    """The settings of a logged policy, the language by itself: `bm25` is logged without one where it is none."""
    settings = {name: value for name, value in logged.items() if name not in _GIVEN}
    if isinstance(bm25 := settings.get("bm25"), dict):
        settings["language"] = bm25.get("language", NEUTRAL)
        settings["bm25"] = {name: value for name, value in bm25.items() if name != "language"}
    return settings


def _difference(name: str, value: Any, usual: Any) -> str:
    if name == "per_source" and value is None:
        return "no limit a source"
    if not isinstance(value, dict):
        return f"{name} {value}"
    usual = usual if isinstance(usual, dict) else {}
    return " ".join([name, *(f"{part} {each}" for part, each in value.items() if each != usual.get(part))])


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
    found = loaded_json(text, "", (dict,))
    return {"unreadable": text} if isinstance(found, UnreadableJson) else found
