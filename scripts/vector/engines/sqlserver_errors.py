"""What an error of a SQL Server driver means: pyodbc and mssql-python say it in the text alone."""

from __future__ import annotations

import re

# Deadlock, lock timeout, snapshot conflict, and Azure SQL's throttling and failover.
_TRANSIENT = ("1205", "1222", "3960", "10928", "10929", "40197", "40501", "40613", "49918", "49919", "49920")
# Communication link failure, connection not open, and what the network layer says below them.
_LOST = ("08S01", "08003", "08007", "10053", "10054", "10060", "communication link failure", "connection is closed")


def is_transient(error: Exception) -> bool:
    """Whether the same transaction may do better in a moment."""
    text = f"{error.args}"
    return any(f"({number})" in text or f" {number} " in text for number in _TRANSIENT)


def is_lost_connection(error: Exception) -> bool:
    """Whether only a new connection helps."""
    text = str(error.args).lower()
    return any(sign.lower() in text for sign in _LOST)


def lacks_permission(error: Exception) -> bool:
    """Whether the login has no right to what it asked for."""
    return "permission was denied" in str(error) or "permission denied" in str(error)


def refused_by_constraint(error: Exception) -> str | None:
    """What a constraint refused, in one line of the server's words; None for an error of another kind."""
    # The name that both drivers give to the errors of SQLSTATE 23000.
    if type(error).__name__ != "IntegrityError":
        return None
    text = str(error.args[-1] if error.args else error).rpartition("DDBC Error: ")[2]
    first, _, _ = text.partition("; [")  # the next message says only that the statement has ended
    return re.sub(r"^(\[[^]]*\]\s*)+|\s*\(\d+\)( \(SQL\w+\))?$", "", first)
