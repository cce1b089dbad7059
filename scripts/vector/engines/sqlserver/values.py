"""Parameters of T-SQL as literals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vector.errors import ConfigurationError


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
