"""What restricts a search: filters on chunks and their sources, as conditions of SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from vector.contracts.identity import require_storable_text
from vector.errors import ConfigurationError

# SQL Server takes 2,100 parameters a statement.
MOST_VALUES = 1000

Condition = tuple[str, list[Any]]


@dataclass(frozen=True)
class SearchFilters:
    """Which chunks a search may find; what is empty or None does not restrict.

    A chunk's source is of one of the `source_types`, is one of the `source_ids`, has every one of the `tags` (key and
    value: the value of the key in `tags_json`, or an element of it where it is an array, as text), and was updated at
    or after `updated_from` and before `updated_before` (aware, or taken as UTC; a date is its midnight). Any iterable
    of texts is taken, and tags as pairs or as a mapping.

    Raises ConfigurationError on values of another kind, on more of them than a statement may have, or on a range that
    is empty; InvalidRecord on a value that holds a NUL or a lone surrogate.
    """

    source_types: tuple[str, ...] = ()
    source_ids: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    updated_from: datetime | None = None
    updated_before: datetime | None = None

    def __post_init__(self) -> None:
        kept = {
            "source_types": _texts("source_types", self.source_types),
            "source_ids": _texts("source_ids", self.source_ids),
            "tags": _pairs(self.tags),
            "updated_from": _moment("updated_from", self.updated_from),
            "updated_before": _moment("updated_before", self.updated_before),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        count = len(self.source_types) + len(self.source_ids) + len(self.tags)
        if count > MOST_VALUES:
            raise ConfigurationError(f"a search has {count} values of filters; it may have {MOST_VALUES}")
        if self.updated_from and self.updated_before and naive_utc(self.updated_from) >= naive_utc(self.updated_before):
            raise ConfigurationError(
                f"updated from {self.updated_from} and before {self.updated_before} leaves nothing; swap the two"
            )

    def __bool__(self) -> bool:
        return self != NO_FILTERS

    def to_json(self) -> dict[str, Any] | None:
        """The filters as the log keeps them; None where there are none."""
        given = {
            "source_type": list(self.source_types),
            "source_id": list(self.source_ids),
            "tags": [list(tag) for tag in self.tags],
            "updated_from": self.updated_from and naive_utc(self.updated_from).isoformat(),
            "updated_before": self.updated_before and naive_utc(self.updated_before).isoformat(),
        }
        return {name: value for name, value in given.items() if value} or None

    @classmethod
    def from_json(cls, filters: dict[str, Any] | None) -> SearchFilters:
        """The filters of a logged search. Raises ConfigurationError on a filter of a later version."""
        given = dict(filters or {})
        moments = {name: given.pop(name, None) for name in ("updated_from", "updated_before")}
        made = cls(
            given.pop("source_type", ()),
            given.pop("source_id", ()),
            given.pop("tags", ()),
            **{name: _logged_moment(name, text) for name, text in moments.items()},
        )
        if given:
            raise ConfigurationError(f"unknown filter {min(given)!r}; it was logged by another version")
        return made


def _texts(name: str, values: Any) -> tuple[str, ...]:
    # A text is an iterable of texts too: its letters.
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"{name} is {values!r}; give a list of texts")
    kept = tuple(values)
    for value in kept:
        if not isinstance(value, str):
            raise ConfigurationError(f"{name} has {value!r}; give texts")
        require_storable_text(value, f"the filter {name}")
    return kept


def _pairs(tags: Any) -> tuple[tuple[str, str], ...]:
    given = tags.items() if isinstance(tags, Mapping) else tags
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ConfigurationError(f"tags is {tags!r}; give pairs of key and value, or a mapping")
    kept = []
    for pair in given:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ConfigurationError(f"tags has {pair!r}; give pairs of key and value")
        key, value = _texts("tags", pair)
        kept.append((key, value))
    return tuple(kept)


def _moment(name: str, value: Any) -> datetime | None:
    if value is None:
        return value
    if isinstance(value, datetime):
        try:
            naive_utc(value)
        except OverflowError:
            raise ConfigurationError(f"{name} is {value}, which is not of the years 1 to 9999 in UTC") from None
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    raise ConfigurationError(f"{name} is {value!r}; give a datetime or a date")


def _logged_moment(name: str, text: Any) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} is {text!r}, which is no time") from None


NO_FILTERS = SearchFilters()


def naive_utc(moment: datetime) -> datetime:
    """The moment as the ledgers keep it: in UTC, without a time zone."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def filter_conditions(
    filters: SearchFilters, registry: str, moment: str, tag: Callable[[str, str], Condition]
) -> tuple[list[str], list[Any]]:
    """The conditions that a relation `searched` (source_id, source_type) must meet, and their parameters.

    `registry` is the relation of the sources, `moment` the engine's parameter of a time, and `tag` gives its condition
    that a column `source.tags_json` has a key and value.
    """
    found = [
        _in(f"searched.{column}", values)
        for column, values in (("source_type", filters.source_types), ("source_id", filters.source_ids))
        if values
    ]
    of_source = [tag(key, value) for key, value in filters.tags]
    if filters.updated_from:
        of_source.append((f"source.source_updated_utc >= {moment}", [naive_utc(filters.updated_from)]))
    if filters.updated_before:
        of_source.append((f"source.source_updated_utc < {moment}", [naive_utc(filters.updated_before)]))
    if of_source:
        conditions, parameters = _joined(of_source)
        select = f"select source.source_id from {registry} as source where {' and '.join(conditions)}"
        found.append((f"searched.source_id in ({select})", parameters))
    return _joined(found)


def _in(column: str, values: Sequence[str]) -> Condition:
    return f"{column} in ({', '.join('?' * len(values))})", list(values)


def _joined(conditions: Sequence[Condition]) -> tuple[list[str], list[Any]]:
    return [sql for sql, _ in conditions], [value for _, values in conditions for value in values]
