"""Reading and writing of records in their ledgers: the part that is the same for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vector.contracts.identity import canonical_json, require_storable_text, utf16_units
from vector.contracts.json_column import parsed_json
from vector.contracts.ledgers import Column, Ledger
from vector.engines.base import Engine, key_match
from vector.errors import InvalidRecord

# How columns are called that name something; macros/ledger/ledger_unfit_value.sql has the same.
_IDENTIFYING = ("_id", "_key", "_type", "_version")


class ConstraintRefusal(InvalidRecord):
    """A constraint of the database refused a record."""


@dataclass(frozen=True)
class SaveResult:
    """What a save did, in rows. It is true when anything was written."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __bool__(self) -> bool:
        return self.inserted + self.updated > 0

    def __add__(self, other: SaveResult) -> SaveResult:
        return SaveResult(
            self.inserted + other.inserted, self.updated + other.updated, self.unchanged + other.unchanged
        )


def records_of(ledger: Ledger, records: Iterable[Any]) -> list[Any]:
    """The records as a list. Raises InvalidRecord when one is of another class than the ledger holds."""
    kept = list(records)
    for record in kept:
        if not isinstance(record, ledger.record):
            raise InvalidRecord(f"{ledger.table} holds {ledger.record.__name__}, not {type(record).__name__}")
    return kept


def rows_by_key(engine: Engine, ledger: Ledger, records: Iterable[Any]) -> dict[tuple, tuple]:
    """The records' rows by key, the first of equal keys kept. Their vectors are float32.

    Raises InvalidRecord when a record is of another class, or a text in it cannot be stored.
    """
    positions = [ledger.column_names.index(column) for column in ledger.key]
    rows: dict[tuple, tuple] = {}
    for record in records_of(ledger, records):
        row = list(ledger.to_row(record))
        for position, column in enumerate(ledger.columns):
            if column.kind == "vector" and row[position] is not None:
                row[position] = engine.encode_vector(row[position])
            elif column.needed and row[position] is None:
                raise InvalidRecord(f"{ledger.named(tuple(row))}: {column.name} is null; give a value")
            elif column.kind in ("text", "json"):
                _require_text(ledger, column, row[position])
        rows.setdefault(tuple(row[position] for position in positions), tuple(row))
    return rows


def _require_text(ledger: Ledger, column: Column, value: Any) -> None:
    """Raises InvalidRecord when the column cannot hold the value, or the value is an empty key."""
    if value is None and column.name not in ledger.key:
        return
    about = f"{ledger.table}.{column.name}"
    if not isinstance(value, str):
        raise InvalidRecord(f"{about}: must be a text, is {type(value).__name__}")
    require_storable_text(value, about)
    if not value and column.name in ledger.key:
        raise InvalidRecord(f"{about}: is empty")
    if value.endswith(" ") and column.name.endswith(_IDENTIFYING):
        raise InvalidRecord(f"{about}: {value[-40:]!r} ends in a blank; SQL Server takes it for the same without")
    if column.is_ascii and not value.isascii():
        raise InvalidRecord(f"{about}: {value[:40]!r} is no id or digest: it is not ASCII")
    # A character is one or two code units of UTF-16, and most texts are far from the limit.
    if column.length is not None and 2 * len(value) > column.length:
        units = utf16_units(value)
        if units > column.length:
            kind = "characters" if units == len(value) else "characters in UTF-16"
            raise InvalidRecord(f"{about}: has {units} {kind}, the ledger holds {column.length}")


@contextmanager
def refusals_explained(engine: Engine, ledger: Ledger) -> Iterator[None]:
    """Makes a ConstraintRefusal, which names the ledger, of what the engine says when a constraint refuses a row."""
    try:
        yield
    except Exception as error:
        reason = engine.explain_constraint(error)
        if reason is None:
            raise
        raise ConstraintRefusal(f"{ledger.table}: {reason}") from error


def insert_new(engine: Engine, ledger: Ledger, rows: Iterable[tuple], *, all_new: bool = False) -> int:
    """Appends the rows whose key the ledger does not have; the number appended. `all_new` as the engine has it."""
    rows = list(rows)
    if not rows:
        return 0
    with refusals_explained(engine, ledger), engine.staged(ledger.columns, rows) as staged:
        return engine.insert_new(ledger.table, staged, ledger.column_names, ledger.key, all_new=all_new)


def save(engine: Engine, ledger: Ledger, records: Iterable[Any]) -> SaveResult:
    """Appends new records and, where the ledger allows it, writes changed ones over their old selves.

    To be called inside a transaction. Equal records are left alone. Raises InvalidRecord when a record that may not
    change comes back changed, or a constraint refuses one.
    """
    rows = rows_by_key(engine, ledger, records)
    existing = existing_rows(engine, ledger, rows)
    changed = []
    for key, row in rows.items():
        differing = _differing(ledger, existing[key], row) if key in existing else []
        fixed = [
            name
            for name in differing
            if name not in ledger.mutable and not _respelled(ledger, name, existing[key], row)
        ]
        if fixed:
            raise InvalidRecord(f"{ledger.table} {'/'.join(map(str, key))}: {', '.join(fixed)} cannot change")
        if any(name in ledger.mutable for name in differing):
            changed.append(row)
    inserted = insert_new(engine, ledger, (row for key, row in rows.items() if key not in existing))
    updated = _update(engine, ledger, changed) if changed else 0
    return SaveResult(inserted, updated, len(rows) - inserted - updated)


def existing_rows(engine: Engine, ledger: Ledger, keys: Iterable[tuple]) -> dict[tuple, tuple]:
    """The ledger's rows of these keys, by key."""
    keys = list(keys)
    if not keys:
        return {}
    key_columns = [column for column in ledger.columns if column.name in ledger.key]
    order = [ledger.key.index(column.name) for column in key_columns]
    names = ", ".join(f"ledger.{name}" for name in ledger.column_names)
    with engine.staged(key_columns, [tuple(key[i] for i in order) for key in keys]) as staged:
        found = engine.query(
            f"select {names} from {engine.table(ledger.table)} as ledger inner join {staged} as staged"
            f" on {key_match('ledger', 'staged', ledger.key)}"
        )
    positions = [ledger.column_names.index(column) for column in ledger.key]
    return {tuple(row[position] for position in positions): row for row in found}


def get(engine: Engine, ledger: Ledger, **key: Any) -> Any | None:
    """The one record with these values, or None: also where one of them is None, which no key is."""
    if None in key.values():
        return None
    found = find(engine, ledger, key, limit=1)
    return found[0] if found else None


def find(
    engine: Engine,
    ledger: Ledger,
    where: Mapping[str, Any],
    order: str | None = None,
    limit: int | None = None,
    null: Sequence[str] = (),
    often: bool = False,
) -> list[Any]:
    """Records whose columns equal the given values (those that are None do not restrict) and whose columns `null`
    are, in a stable order. `often`: every question asks for them (Engine.lookup)."""
    given = {name: value for name, value in where.items() if value is not None}
    conditions = [*(f"{name} = ?" for name in given), *(f"{name} is null" for name in null)]
    sql = f"select {', '.join(ledger.column_names)} from {engine.table(ledger.table)}"
    sql += f" where {' and '.join(conditions)}" if conditions else ""
    sql += f" order by {order or ', '.join(ledger.key)}"
    parameters = list(given.values())
    if limit is not None:
        sql += " offset 0 rows fetch next ? rows only"
        parameters.append(limit)
    rows = (engine.lookup if often else engine.query)(sql, parameters)
    return [ledger.from_row(row, engine.decode_vector) for row in rows]


# Times that say when a row was written, not what it says: they alone make no change.
_WRITE_TIMES = ("created_utc", "updated_utc", "last_indexed_utc", "started_utc")


def _differing(ledger: Ledger, old: tuple, new: tuple) -> list[str]:
    return [
        column.name
        for column, before, after in zip(ledger.columns, old, new, strict=True)
        if column.kind != "vector" and column.name not in _WRITE_TIMES and before != after
    ]


def _respelled(ledger: Ledger, name: str, old: tuple, new: tuple) -> bool:
    """Whether a column has the JSON that it had, which somebody else spelt with other blanks or another order."""
    position = ledger.column_names.index(name)
    if ledger.columns[position].kind != "json" or None in (old[position], new[position]):
        return False
    try:
        return canonical_json(parsed_json(old[position])) == new[position]
    except ValueError:
        return False


def _update(engine: Engine, ledger: Ledger, rows: list[tuple]) -> int:
    with refusals_explained(engine, ledger), engine.staged(ledger.columns, rows) as staged:
        return engine.update_from(ledger.table, staged, ledger.mutable, ledger.key)
