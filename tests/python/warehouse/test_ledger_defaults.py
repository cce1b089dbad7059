"""What an INSERT by hand leaves out of a ledger is filled in by the engine, as the records of Python fill it in."""

from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
import yaml
from support import PROJECT_DIR

from vector.contracts import ledgers
from vector.contracts.identity import new_id
from vector.contracts.models import _now

# Of these Python makes the id from what the row says: a random one would be wrong.
DERIVED_IDS = {"embedding_space_id", "evaluation_interval_id"}


def declared(table: str) -> dict[str, object]:
    """{column: its default in the yml} of a ledger; None where it has none."""
    (model,) = yaml.safe_load((PROJECT_DIR / f"models/ledgers/{table}.yml").read_text(encoding="utf-8"))["models"]
    return {
        column["name"]: column.get("config", {}).get("meta", {}).get("default") for column in model["columns"]
    }


@pytest.mark.parametrize("ledger", ledgers.LEDGERS, ids=lambda ledger: ledger.table)
def test_the_engine_fills_in_what_python_fills_in(ledger):
    found = declared(ledger.table)
    by_field = {column.field: column.name for column in ledger.columns}
    for field in fields(ledger.record):
        name = by_field[field.name]
        if name == f"{ledger.table}_id" or (name == ledger.key[0] and hasattr(ledger.record, "create_new")):
            continue
        if field.default_factory is _now:
            expected = "current_utc()"
        elif field.default is MISSING or field.default is None:
            expected = None
        else:
            expected = getattr(field.default, "value", field.default)
        if name != "updated_utc":  # None in Python: the store makes it the time of creation
            assert found[name] == expected, name
