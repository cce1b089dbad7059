"""Opens the connection of a dbt target of type sqlserver, by dbt-sqlserver's own code, and explains what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from vector.engines.sqlserver.engine import SqlServerEngine
from vector.errors import ConfigurationError
from vector.project.profile import Target
from vector.project.relations import Relations


def connect(target: Target, relations: Relations) -> SqlServerEngine:
    """Connects as dbt-sqlserver does, with the same profile keys and authentication modes.

    Raises ConfigurationError, without any secret, when a driver is missing, the server cannot be reached, or the
    login is refused.
    """
    try:
        from dbt.adapters.contracts.connection import Connection
        from dbt.adapters.sqlserver.sqlserver_connections import SQLServerConnectionManager
        from dbt.adapters.sqlserver.sqlserver_credentials import SQLServerCredentials
    except ImportError as error:
        raise ConfigurationError(
            f'target {target.name}: {error}; install the driver with `pip install "vector-runtime[sqlserver]"`'
        ) from None
    settings = {key: value for key, value in target.settings.items() if key not in ("type", "threads")}
    settings.setdefault("backend", installed_backend(settings.get("driver")))

    def open_connection() -> Any:
        credentials = SQLServerCredentials.from_dict(SQLServerCredentials.translate_aliases(settings))
        return SQLServerConnectionManager.open(
            Connection(type="sqlserver", name="vector", credentials=credentials)
        ).handle

    try:
        handle = open_connection()
    except Exception as error:
        raise ConfigurationError(f"target {target.name}: {explained(error, target)}") from None
    return SqlServerEngine(handle, reconnect=open_connection, relations=relations)


def installed_backend(driver: str | None = None) -> str:
    """pyodbc; or mssql-python, which carries Microsoft's driver, where pyodbc cannot be imported or lacks `driver`."""
    with suppress(ImportError):
        import pyodbc

        if driver is None or driver in pyodbc.drivers() or "/" in driver:
            return "pyodbc"
    with suppress(ImportError):
        import mssql_python  # noqa: F401

        return "mssql-python"
    return "pyodbc"


_EXPLANATIONS = (
    # A wrong database comes with 18456 too, which says only that the login has failed because of it.
    (("(4060)", "cannot open database"), "the database does not exist, or the login may not open it"),
    (("(18456)", "login failed"), "the login was refused: check user, password and `authentication`"),
    (("im002", "can't open lib", "data source name not found"), "the ODBC driver of `driver` is not installed"),
    (("certificate", "ssl"), "the server's certificate is not trusted; set `trust_cert: true` only if you trust it"),
    (("failed to load the driver",), "mssql-python's driver needs the system's libltdl7 and libgssapi-krb5-2 (apt)"),
    (
        ("hyt00", "08001", "timeout", "network", "10061", "tcp provider", "unable to establish"),
        "the server cannot be reached: check host, port and firewall",
    ),
    (("libodbc",), "libodbc is missing: install unixodbc, or `pip install mssql-python`"),
)


_SECRET_KEYS = ("pwd", "password", "pass", "client_secret", "app_secret", "access_token", "token")


def _secrets(settings: Mapping[str, Any]) -> list[str]:
    """The secrets of a profile in every form that a driver may repeat them in, the longest first.

    A connection string has values with `;` or `}` in braces, each `}` doubled; a driver that reads such a value in
    another way complains of the pieces.
    """
    forms: set[str] = set()
    for key, value in settings.items():
        if key.lower() in _SECRET_KEYS and value:
            text = str(value)
            forms |= {text, text.replace("}", "}}"), quote(text, safe=""), repr(text)[1:-1], " ".join(text.split())}
            forms |= {piece for piece in re.split(r"[;{}=\s]+", text) if len(piece) > 2}
    return sorted(forms - {""}, key=len, reverse=True)


def explained(error: Exception, target: Target) -> str:
    """What went wrong while connecting, in one line without a secret of the target."""
    message = str(error)
    for secret in _secrets(target.settings):
        message = message.replace(secret, "***")
    message = " ".join(message.split())
    for words, advice in _EXPLANATIONS:
        if any(word in message.lower() for word in words):
            return f"{advice} ({message[:300]})"
    return message[:400]
