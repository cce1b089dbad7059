"""JSON as it is read back from a row: what the row holds was written by anybody, and must not end more than itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from vector.errors import InvalidRecord

# Levels of objects and arrays in each other: far more than a job, policy or tag has, and far below Python's stack.
MOST_LEVELS = 100
# Digits of a whole number: as many as the largest double has before its point, so that each can be compared with one.
_MOST_DIGITS = 308
# What counts, times and prices can be.
_SMALLEST, _LARGEST = 1e-12, 1e18


class UnreadableJson:
    """What stands in a record for JSON that cannot be read.

    The record can be listed, and saved again: `text` is what its row holds. Any use as a value raises InvalidRecord
    with the `reason`, which names the row.
    """

    def __init__(self, text: str, reason: str):
        self.text, self.reason = text, reason

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Raises InvalidRecord."""
        raise InvalidRecord(self.reason)

    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = refuse
    get = items = keys = values = pop = copy = refuse

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnreadableJson) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.reason


def parsed_json(text: str) -> Any:
    """The value of a JSON text, whoever wrote it. Control characters in its strings are taken: SQL writes some.

    Raises ValueError, with a message that quotes nothing of the text, when it is no JSON, is nested deeper than
    MOST_LEVELS, or has a number that no double holds, such as 1e400, NaN or one of 309 digits.
    """
    try:
        value = json.loads(text, strict=False, parse_float=_real, parse_int=_whole, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    # Most texts have too few brackets to be too deep.
    if text.count("[") + text.count("{") > MOST_LEVELS:
        _check_levels(value)
    return value


def loaded_json(text: Any, about: str, shapes: tuple[type, ...] = ()) -> Any:
    """The value of a column's JSON, of one of these types where they are given; UnreadableJson, whose reason begins
    with `about`, where there is none."""
    try:
        value = parsed_json(text)
    except (TypeError, ValueError) as error:
        return UnreadableJson(text, f"{about} is no JSON that can be read ({error}); correct the row")
    if shapes and not isinstance(value, shapes):
        wanted = " or ".join("an object" if each is dict else "an array" for each in shapes)
        return UnreadableJson(text, f"{about} must be {wanted}, is {type(value).__name__}; correct the row")
    return value


def json_object(text: str | None) -> dict[str, Any]:
    """The JSON object of a column, empty where there is none or it cannot be read: for what only informs."""
    value = None if text is None else loaded_json(text, "", (dict,))
    return value if isinstance(value, dict) else {}


def number_in(values: Mapping[str, Any], name: str) -> float:
    """The number of a key, of a size that sums and quotients of such numbers can have; 0 where it is missing or
    something else."""
    value = values.get(name)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and _SMALLEST <= value <= _LARGEST:
        return value
    return 0


_TOO_DEEP = f"it is nested deeper than {MOST_LEVELS} levels"


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _no_number(name: str) -> NoReturn:
    # Python reads and writes NaN and Infinity, which RFC 8259 does not know and no database takes.
    raise ValueError(f"{name} is no number of JSON")
