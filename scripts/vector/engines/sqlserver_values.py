"""How values and parameters stand in T-SQL: the types of staged columns, and literals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vector.contracts.ledgers import Column
from vector.errors import ConfigurationError

# Longer key texts than this have no index in SQL Server (900 bytes clustered), and no ledger has them.
_KEY_LENGTH = 400

_TYPES = {
    "json": "nvarchar(max)",
    "integer": "bigint",
    "real": "float",
    "boolean": "bit",
    "utc": "datetime2(6)",
    "vector": "varchar(max)",
}


def staged_type(column: Column, values: Sequence[Any]) -> str:
    """The type of a column of a temporary table that takes these values."""
    if column.kind != "text":
        text_type = _TYPES[column.kind]
        return f"{text_type} collate Latin1_General_100_BIN2" if "varchar" in text_type else text_type
    # Temporary tables have the collation of tempdb unless told otherwise: this is the ledgers'. Long types are slow to
    # join and to send.
    longest = max((len(value.encode("utf-16-le")) // 2 for value in values if value is not None), default=0)
    size = _KEY_LENGTH if longest <= _KEY_LENGTH else "max"
    return f"nvarchar({size}) collate Latin1_General_100_BIN2"


def inlined(select: str, parameters: Sequence[Any]) -> str:
    """The select with its parameters as literals. They are ids and numbers of our own, checked to be so."""
    for value in parameters:
        if isinstance(value, int):
            literal = str(value)
        elif isinstance(value, str) and all(char.isalnum() or char in "-_" for char in value):
            literal = f"N'{value}'"
        else:
            raise ConfigurationError(f"{value!r} is neither an id nor a number")
        select = select.replace("?", literal, 1)
    return select
