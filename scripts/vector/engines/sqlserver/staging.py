"""Rows on their way to SQL Server: one JSON parameter, read by OPENJSON as a derived table.

One round trip, the same in both drivers, and no temporary table: the server describes no parameter of a statement that
names one, and what a driver then guesses cuts and garbles texts. The JSON is an array of arrays, read by position.
https://learn.microsoft.com/sql/t-sql/functions/openjson-transact-sql (WITH)
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from vector.contracts.identity import require_storable_text, utf16_units
from vector.contracts.ledgers import Column
from vector.engines.base import checked_identifier
from vector.errors import InvalidRecord

# The ledgers': a text out of JSON has the database's own, and a join of two would be refused.
_COLLATION = "collate Latin1_General_100_BIN2"
_TYPES = {"integer": "bigint", "real": "float", "boolean": "bit", "utc": "datetime2(6)"}
_DIGITS = 38


@dataclass(frozen=True)
class StagedRows:
    """`relation` is a derived table with one parameter, `payload`."""

    relation: str
    payload: str


def staged_rows(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> StagedRows:
    """The rows as a derived table. Raises InvalidRecord, naming the column, for a value that its kind does not have."""
    values = list(zip(*rows, strict=True)) or [() for _ in columns]
    types = [_type(column, each) for column, each in zip(columns, values, strict=True)]
    staged = [_in_json(column, each) for column, each in zip(columns, values, strict=True)]
    payload = json.dumps(list(zip(*staged, strict=True)), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    names = [checked_identifier(column.name, "column") for column in columns]
    # A long text is read as nvarchar(max), whatever it becomes.
    read = ", ".join(
        f"{name} {'nvarchar(max)' if '(max)' in type else type} '$[{i}]'"
        for i, (name, type) in enumerate(zip(names, types, strict=True))
    )
    selected = ", ".join(_selected(name, type) for name, type in zip(names, types, strict=True))
    return StagedRows(f"(select {selected} from openjson(cast(? as nvarchar(max))) with ({read}) as json_row)", payload)


def _selected(name: str, type: str) -> str:
    return f"cast(json_row.{name} as {type}) {_COLLATION} as {name}" if "char" in type else f"json_row.{name}"


def _type(column: Column, values: Sequence[Any]) -> str:
    if column.kind == "vector":
        return "varchar(max)"
    if column.kind == "real" and any(isinstance(value, Decimal) for value in values):
        return f"decimal({_DIGITS}, {_scale(column, values)})"
    if column.kind not in ("text", "json"):
        return _TYPES[column.kind]
    if column.kind == "json" or column.length is None:
        return "nvarchar(max)"
    # OPENJSON cuts what is longer, and varchar folds what it lacks: such a value keeps its own type, and the ledger
    # refuses it, or has no row of it.
    texts = [value for value in values if isinstance(value, str)]
    if column.is_ascii and all(text.isascii() and len(text) <= column.length for text in texts):
        return f"varchar({column.length})"
    fit = all(2 * len(text) <= column.length or utf16_units(text) <= column.length for text in texts)
    return f"nvarchar({column.length})" if fit and not column.is_ascii else "nvarchar(max)"


def _scale(column: Column, values: Sequence[Any]) -> int:
    numbers = [Decimal(str(value)) for value in values if value is not None]
    for number in numbers:
        if not number.is_finite():
            raise InvalidRecord(f"{column.name}: {number} is no finite number")
    scale = max((-min(int(number.as_tuple().exponent), 0) for number in numbers), default=0)
    whole = max((number.adjusted() + 1 for number in numbers if number), default=1)
    if scale + max(whole, 0) > _DIGITS:
        raise InvalidRecord(f"{column.name}: the numbers have more than {_DIGITS} digits")
    return scale


def _in_json(column: Column, values: Sequence[Any]) -> list[Any]:
    """The values of a column as JSON has them."""
    if column.kind in ("text", "json", "vector"):
        for value in values:
            if value is None:
                continue
            if not isinstance(value, str):
                raise InvalidRecord(f"{column.name}: must be a text, is {type(value).__name__}")
            if not value.isascii() or "\0" in value:
                require_storable_text(value, column.name)
        return list(values)
    convert = {"integer": _integer, "real": _real, "boolean": _boolean, "utc": _utc}[column.kind]
    if column.kind == "real" and any(isinstance(value, Decimal) for value in values):
        convert = _decimal
    try:
        return [None if value is None else convert(value) for value in values]
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InvalidRecord(f"{column.name}: {error}") from None


def _integer(value: Any) -> int:
    number = int(value)
    if number != value or not -(2**63) <= number < 2**63:
        raise ValueError(f"{value!r} is no integer of 64 bits")
    return number


def _decimal(value: Any) -> str:
    return f"{Decimal(str(value)):f}"


def _real(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no finite number, which SQL Server does not keep")
    return number


def _boolean(value: Any) -> int:
    if value not in (False, True):
        raise ValueError(f"{value!r} is neither true nor false")
    return int(value)


def _utc(value: datetime) -> str:
    naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return naive.isoformat(timespec="microseconds")
