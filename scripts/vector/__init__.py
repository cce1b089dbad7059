"""The vector runtime: chunks, embeddings and audited search over the schema that dbt declares.

import vector

warehouse = vector.open()
warehouse.search("Which moon has geysers?", top_k=5)
"""

from __future__ import annotations

# Nothing else is imported here: every command, and everybody who imports a part of this package, pays for it.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from vector.warehouse import Warehouse

__version__ = "0.1.0"


def open(
    target: str | None = None,
    project_dir: str | Path | None = None,
    profiles_dir: str | Path | None = None,
    connection: Any = None,
    schema: str = "vector",
) -> Warehouse:
    """The warehouse of a dbt project, found as dbt finds it: the project of the working directory or above, its
    profile, its target. The arguments are dbt's options of these names.

    Or give an open duckdb, pyodbc or mssql_python `connection`, with the `schema` that holds the ledgers: one that can
    only be read searches too, and logs nothing.

    Nothing is connected before the first question. Raises vector.errors.ConfigurationError when there is no project,
    profile or target.
    """
    from vector.warehouse import open_warehouse

    return open_warehouse(target, project_dir, profiles_dir, connection, schema)
