"""`vector_search` in SQL: a function that a connection of DuckDB can read from, as a table.

DuckDB takes no table function from Python. It takes a scalar one that gives a list of rows, which a macro unnests. The
function is declared to have side effects, as each question is logged: so it is called once a question, and not while a
statement is only prepared.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from vector.engines.base import Engine
from vector.errors import ConfigurationError
from vector.search.search import SearchResult

_TYPES = {"text": "VARCHAR", "json": "JSON", "integer": "INTEGER", "real": "DOUBLE", "boolean": "BOOLEAN"}
# A macro is its connection's; a function is its database's, and so needs a name of its own.
_MACRO, _NUMBERS = "vector_search", itertools.count(1)


def with_vector_search(engine: Engine, search: Callable[[str, int], SearchResult]) -> Any:
    """A new session with the engine's database that has `vector_search`. Raises ConfigurationError where the engine's
    SQL cannot call Python."""
    connection = engine.calling_session()
    if connection is None:
        raise ConfigurationError(
            f"{engine.location}: vector_search in SQL is DuckDB's alone; docs/analysts.md has SQL for every engine, and"
            " warehouse.search(...).to_pandas() the hits"
        )
    function = f"vector_search_rows_{next(_NUMBERS)}"
    columns = ", ".join(f'"{name}" {_TYPES[kind]}' for name, kind in SearchResult.COLUMNS.items())

    def rows(question: str | None, top_k: int | None) -> list[dict[str, Any]] | None:
        return None if question is None or top_k is None else search(question, top_k).flat_rows()

    connection.create_function(
        function, rows, ["VARCHAR", "INTEGER"], f"STRUCT({columns})[]", side_effects=True, null_handling="special"
    )
    connection.execute(
        f"create or replace temp macro {_MACRO}(question, top_k := 10) as table"
        f" select unnest({function}(question, top_k), recursive := true)"
    )
    return connection
