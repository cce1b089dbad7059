"""Names as DuckDB takes them, and what of its words is shown."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name as DuckDB quotes it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def first_line(message: object) -> str:
    """The first line of an error; DuckDB goes on with the statement."""
    return str(message).partition("\n")[0]
