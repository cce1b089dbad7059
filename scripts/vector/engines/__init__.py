"""The database engines: DuckDB, the embedded default; SQL Server, the production target; Spark, for what outgrows one
machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from vector.engines.base import Engine, with_queue
from vector.errors import ConfigurationError, DatabaseBusy
from vector.files import locked
from vector.project.profile import Target
from vector.project.relations import Relations, find_relations, target_folder


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
    return _connected(target, find_relations(target))


def read_only_file(target: Target) -> Path | None:
    """The file of a database that one process at a time can write, and others read a copy of; else None."""
    if target.type != "duckdb":
        return None
    from vector.engines.duckdb.connection import database_file

    return database_file(target)


def read_only_engine(target: Target, file: Path) -> Engine:
    """The engine over a file of `read_only_file`, or a copy of it, for reading. Raises as engine_for_target."""
    from vector.engines.duckdb.connection import connect

    return connect(target, find_relations(target), file)


def _connected(target: Target, relations: Relations) -> Engine:
    if target.type == "duckdb":
        from vector.engines.duckdb import connection as duckdb

        return duckdb.connect(target, relations)
    if target.type == "sqlserver":
        from vector.engines.sqlserver import connection as sqlserver

        return sqlserver.connect(target, relations)
    if target.type == "spark":
        from vector.engines.spark import session as spark

        return spark.connect(target, relations)
    raise ConfigurationError(
        f"target {target.name} has type {target.type!r}; the vector runtime knows duckdb, sqlserver and spark"
    )


@contextmanager
def alone(target: Target, work: str) -> Iterator[None]:
    """One at a time, also while the work has no connection of its own open: among the processes that share dbt's target
    folder and, on SQL Server, among all hosts. The lock ends with its process at the latest.

    Raises DatabaseBusy when somebody else is at it, ConfigurationError when the folder cannot be written to.
    """
    path = target_folder(target.project_dir) / f"vector_{work}.lock"
    with ExitStack() as held:
        try:
            holder = held.enter_context(locked(path))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
        if holder:
            raise DatabaseBusy(f"another {work} of this project is at work: {holder}; wait for it, or stop it")
        if target.type == "sqlserver":
            engine = held.enter_context(closing(_connected(target, Relations(target.schema))))
            if not held.enter_context(with_queue(engine).exclusive(work)):
                raise DatabaseBusy(f"another {work} of schema {target.schema} is at work; wait for it, or stop it")
        yield


def refuse_busy(target: Target) -> None:
    """Raises DatabaseBusy where another process has the database open, so that dbt could not open it."""
    if target.type != "duckdb":
        return
    try:
        _connected(target, Relations(target.schema)).close()
    except DatabaseBusy:
        raise
    except ConfigurationError:
        pass  # it may not be there yet; what else is wrong with it is dbt's to say
