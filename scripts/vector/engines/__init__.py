"""The database engines: DuckDB, the embedded default, and SQL Server, the production target."""

from __future__ import annotations

from typing import Any

from vector.engines.base import Engine
from vector.errors import ConfigurationError
from vector.project.profile import Target
from vector.project.relations import find_relations


def engine_for_connection(connection: Any, schema: str = "vector") -> Engine:
    """The engine of an open DuckDB or SQL Server connection.

    Raises ConfigurationError when the connection is of neither.
    """
    module = type(connection).__module__.partition(".")[0]
    if module in ("duckdb", "_duckdb"):
        from vector.engines.duckdb.engine import DuckDBEngine

        return DuckDBEngine(connection, schema)
    if module in ("pyodbc", "mssql_python"):
        from vector.engines.sqlserver.engine import SqlServerEngine

        return SqlServerEngine(connection, schema)
    raise ConfigurationError(
        f"connection is a {type(connection).__module__}.{type(connection).__qualname__}; "
        "give a duckdb, pyodbc or mssql_python connection"
    )


def engine_for_target(target: Target) -> Engine:
    """Connects to what dbt connects to, and finds the relations where dbt has built them.

    Raises ConfigurationError when the target's type is unknown, the database cannot be opened, or nobody can say where
    the relations are.
    """
    if target.type == "duckdb":
        from vector.engines.duckdb.connection import connect
    elif target.type == "sqlserver":
        from vector.engines.sqlserver.connection import connect
    else:
        raise ConfigurationError(
            f"target {target.name} has type {target.type!r}; the vector runtime knows duckdb and sqlserver"
        )
    return connect(target, find_relations(target))
