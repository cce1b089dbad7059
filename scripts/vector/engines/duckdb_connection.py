"""Opens the database file of a dbt target of type duckdb, and explains what goes wrong."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from vector.engines.duckdb import DuckDBEngine, first_line, set_option
from vector.errors import ConfigurationError, DatabaseBusy
from vector.project.profile import Target


def connect(target: Target) -> DuckDBEngine:
    """Opens the target's database file for writing.

    Raises ConfigurationError when the file is missing, is no DuckDB database, or another process holds it.
    """
    path = str(target.settings.get("path", ":memory:"))
    if path.startswith(("md:", "motherduck:", "s3:", "http")) or path == ":memory:":
        raise ConfigurationError(f"target {target.name}: path {path!r} is not a local database file")
    if not Path(path).is_file():
        raise ConfigurationError(
            f"target {target.name}: no database at {Path(path).absolute()}; run `dbt build` first"
            " (a relative path counts from the working directory, as in dbt)"
        )
    try:
        connection = duckdb.connect(path, config=dict(target.settings.get("config_options") or {}))
    except duckdb.Error as error:
        raise _cannot_open(path, str(error)) from None
    settings = dict(target.settings.get("settings") or {})
    for name, value in settings.items():
        try:
            set_option(connection, name, value)
        except duckdb.Error as error:
            connection.close()
            raise ConfigurationError(f"target {target.name}: setting {name}: {first_line(error)}") from None
    return DuckDBEngine(connection, target.schema, settings, own=True)


def _cannot_open(path: str, message: str) -> ConfigurationError:
    if "Could not set lock on file" in message:
        holder = re.search(r"PID (\d+)", message)
        who = f"process {holder.group(1)}" if holder else "another process"
        return DatabaseBusy(
            f"{path} is in use by {who}; DuckDB lets one process write at a time: wait for it, or stop it"
        )
    return ConfigurationError(f"{path} cannot be opened as a DuckDB database: {first_line(message)}")
