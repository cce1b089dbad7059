"""Opens the database of a dbt target of type duckdb as dbt-duckdb does, and explains what goes wrong."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from vector.engines.duckdb.engine import DuckDBEngine
from vector.engines.duckdb.quoting import first_line
from vector.engines.duckdb.sessions import Sessions, interruptible, set_option
from vector.engines.read_copy import COPIES, folder_beside
from vector.errors import ConfigurationError, DatabaseBusy
from vector.files import is_held
from vector.project.profile import Target
from vector.project.relations import Relations

# What needs nothing but DuckDB itself, or is of no concern once the database is open. With any other key of the profile
# dbt-duckdb's own code opens the database: importing that takes most of a second, so not without need.
_PLAIN = {
    "type", "schema", "path", "threads", "settings", "config_options", "keep_open", "disable_transactions",
    "external_root", "retries", "flights",
}  # fmt: skip
_REMOTE = ("md:", "motherduck:", "s3:", "http:", "https:", "ducklake:")


@interruptible()
def connect(target: Target, relations: Relations, read_only: Path | None = None) -> DuckDBEngine:
    """Opens the target's database for writing, with the target's extensions, secrets, attached databases and settings.
    `read_only`: this file in place of the profile's, the database itself or a copy of it, and for reading only.

    Raises ConfigurationError when the file is missing, is no DuckDB database, or another process holds it, or when
    something else of the profile fails; without any secret.
    """
    path = _checked_path(target)

    def open_first() -> duckdb.DuckDBPyConnection:
        connection = _opened(target, path, read_only)
        for name, value in settings.items():
            try:
                set_option(connection, name, value)
            except duckdb.Error as error:
                connection.close()
                raise ConfigurationError(f"target {target.name}: setting {name}: {first_line(error)}") from None
        if not _limits_memory(target):
            _halve_memory(connection)
        return connection

    for name in ("settings", "config_options"):
        if not isinstance(target.settings.get(name) or {}, dict):
            raise ConfigurationError(f"target {target.name}: {name} in the profile is not a set of keys and values")
    settings = dict(target.settings.get("settings") or {})
    first = open_first()
    # The database itself may change once it is closed here.
    is_copy = read_only is not None and read_only.parent.parent == folder_beside(_file_of(path)) / COPIES
    return DuckDBEngine(
        first, settings=settings, own=True, relations=relations, sessions=Sessions(reopen=open_first),
        catalog=target.settings.get("database"), location=str(_file_of(path)) if read_only else None,
        copy=read_only.parent.name if read_only and is_copy else None,
    )  # fmt: skip


def database_file(target: Target) -> Path | None:
    """The file that a read copy of the target's database is a copy of; None where the database is an attached file, or
    no file on this machine."""
    path = str(target.settings.get("path", ":memory:"))
    if target.settings.get("remote") or target.settings.get("database") or path.startswith((*_REMOTE, ":memory:")):
        return None
    return _file_of(path)


# What DuckDB says of a file that another process has: on Linux and macOS; on Windows, in its own words where it can
# name the process, and in those of an English system; under Wine. Where a system speaks otherwise, `is_held` knows.
_BUSY = re.compile(
    "Could not set lock on file|File is already open in|being used by another process"
    "|another process has locked a portion of the file|sharing violation",
    re.IGNORECASE,
)


def _checked_path(target: Target) -> str:
    """The file of the profile's `path`; or ':memory:' where the target's database is an attached file. What dbt has not
    built is not made here."""
    path = str(target.settings.get("path", ":memory:"))
    home, database = path, target.settings.get("database")
    for attached in _attached(target):
        if database and attached.get("alias") == database:
            home = str(attached.get("path"))
    if target.settings.get("remote") or home.startswith(_REMOTE) or home == ":memory:":
        raise ConfigurationError(f"target {target.name}: path {home!r} is not a local database file")
    for needed in {path, home} - {":memory:"}:
        file = _file_of(needed)
        if not file.is_file():
            raise ConfigurationError(
                f"target {target.name}: no database at {file.absolute()}; run `dbt build` first"
                " (a relative path counts from the working directory, as in dbt)"
            )
    return path


def _attached(target: Target) -> list[dict[str, Any]]:
    return [each for each in target.settings.get("attach") or () if isinstance(each, dict)]


def _file_of(path: str) -> Path:
    """The file that DuckDB opens for a path: it knows `~`, and URLs of files."""
    if path.startswith(("~/", "~\\")):
        with suppress(RuntimeError):  # of a user without a home
            return Path.home() / path[2:]
    url = re.match("file://localhost(?=/)|file://(?=/)|file:(?=/)|duckdb:", path)
    return Path(path[url.end() :] if url else path)


def _opened(target: Target, path: str, read_only: Path | None = None) -> duckdb.DuckDBPyConnection:
    if read_only:
        options = {**(target.settings.get("config_options") or {}), "access_mode": "READ_ONLY"}
        target = replace(target, settings={**target.settings, "path": str(read_only), "config_options": options})
        path = str(read_only)
    try:
        with interruptible():
            if target.settings.keys() <= _PLAIN:
                return duckdb.connect(path, config=dict(target.settings.get("config_options") or {}))
            return _opened_by_dbt(target)
    except ConfigurationError:
        raise
    except Exception as error:
        raise _cannot_open(target, path, _without_secrets(str(error), target)) from None


def _opened_by_dbt(target: Target) -> duckdb.DuckDBPyConnection:
    """A connection that dbt-duckdb's own code has made: extensions, secrets, filesystems, plugins, attached files."""
    try:
        from dbt.adapters.duckdb.credentials import DuckDBCredentials
        from dbt.adapters.duckdb.environments import Environment
    except ImportError as error:
        needed = ", ".join(sorted(target.settings.keys() - _PLAIN))
        raise ConfigurationError(
            f"target {target.name}: {error}; {needed} in the profile needs dbt-duckdb:"
            ' `pip install "vector-runtime[duckdb]"`'
        ) from None
    # Without dbt's retries, which print to stdout what they do.
    settings = {key: value for key, value in target.settings.items() if key not in ("type", "threads", "retries")}
    data = DuckDBCredentials.translate_aliases(settings)
    DuckDBCredentials.validate(data)
    credentials = DuckDBCredentials.from_dict(data)
    return Environment.initialize_db(credentials, Environment.initialize_plugins(credentials))


def _limits_memory(target: Target) -> bool:
    given = {**(target.settings.get("config_options") or {}), **(target.settings.get("settings") or {})}
    return any(str(name).lower() in ("memory_limit", "max_memory") for name in given)


def _halve_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Half of the machine's memory in place of DuckDB's default, four fifths of it (of the container's, where that has
    a limit): a model, and the texts under way, are in this process too. A limit that is lower stays: the connections of
    a process with one file share it, and each of them comes here."""
    half = int(_default_memory() * 0.5 / 0.8)
    if _memory_limit(connection) > half:
        with suppress(duckdb.Error):  # so much is in use already
            connection.execute(f"set memory_limit = '{half} B'")


@cache
def _default_memory() -> int:
    with duckdb.connect(":memory:") as fresh:
        return _memory_limit(fresh)


def _memory_limit(connection: duckdb.DuckDBPyConnection) -> int:
    ((found,),) = connection.execute("select parse_formatted_bytes(current_setting('memory_limit'))").fetchall()
    return int(found)


def _cannot_open(target: Target, path: str, message: str) -> ConfigurationError:
    files = [_file_of(str(each)) for each in (path, *(each.get("path") for each in _attached(target)))]
    held = next((file for file in files if is_held(file)), None)
    if held or _BUSY.search(message):
        holder = re.search(r"PID (\d+)", message)
        who = f"process {holder.group(1)}" if holder else "another process"
        named = re.search(r'(?:lock on|open) file "([^"]+)"', message)
        shown = held or (named.group(1) if named and not Path(path).is_file() else path)
        return DatabaseBusy(
            f"{shown} is in use by {who}; DuckDB lets one process write at a time: wait for it, or stop it"
        )
    if target.settings.keys() <= _PLAIN:
        return ConfigurationError(f"{path} cannot be opened as a DuckDB database: {first_line(message)}")
    # dbt's own errors begin with a line that names their kind only.
    told = " ".join(message.split()) if message.startswith("Runtime Error") else first_line(message)
    return ConfigurationError(f"target {target.name} cannot be opened as dbt-duckdb does: {told}")


def _without_secrets(message: str, target: Target) -> str:
    """The message, without what the profile's secrets and tokens hold: DuckDB may quote the statement."""
    for value in sorted(map(str, _texts_of(target.settings)), key=len, reverse=True):
        message = message.replace(value, "***")
    return message


def _texts_of(settings: dict[str, Any]) -> list[str]:
    found: list[str] = []

    def gather(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if key not in ("type", "name", "provider"):
                    gather(item)
        elif isinstance(value, list):
            for item in value:
                gather(item)
        elif isinstance(value, str) and len(value) > 2:
            found.append(value)

    gather(settings.get("secrets") or [])
    gather(settings.get("motherduck_token") or "")
    return found
