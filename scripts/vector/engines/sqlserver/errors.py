"""What an error of a SQL Server driver means.

pyodbc gives the SQLSTATE first and the server's number in its text: `[40001] ... (1205) (SQLExecDirectW)`. mssql-python
gives neither, but a name for the SQLSTATE before the server's text: `Driver Error: Serialization failure; DDBC Error:
...`. So an error is known by number, SQLSTATE or words, whichever is there.
"""

from __future__ import annotations

import re

# Deadlock, lock request time-out, update conflict of snapshot isolation.
# https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
_RETRIED = frozenset("1205 1222 3960".split())
# Failover, throttling and limits of resources.
# https://learn.microsoft.com/azure/azure-sql/database/troubleshoot-common-errors-issues
_BUSY = frozenset("615 926 4221 10928 10929 10936 40143 40197 40501 40540 40613 49918 49919 49920".split())
_NUMBER = re.compile(r"\((\d+)\)(?= \(SQL\w+\)|\s*;|\s*$)")
_WORDS = re.compile(
    r"deadlock(ed on| victim| detected)|lock request time[ -]?out|(due to|because of an) update conflict"
    r"|the service is currently busy|is not currently available\. +please retry|not enough resources to process"
    r"|too many (create or update )?operations in progress|limit for the database is \d+ and has been reached"
    r"|too busy to support requests|the service has encountered an error processing your request"
    r"|could not serialize access|canceling statement due to lock timeout",  # a stand-in of the server says these
    re.IGNORECASE,
)

# SQLSTATEs with the names that mssql-python has for them.
_SERIALIZATION = ("40001", "serialization failure")
_LOST_STATES = (
    ("08S01", "communication link failure"),
    ("08003", "connection not open"),
    ("08007", "connection failure during transaction"),
)
# What the network layer says below them, and a driver of a connection that it has given up.
_LOST_WORDS = re.compile(
    r"\b1005[34]\b|\b10060\b|0x2746|0x2745|0x274c|communication link failure|connection (is|has been) closed",
    re.IGNORECASE,
)


def is_transient(error: Exception) -> bool:
    """Whether the same transaction may do better in a moment."""
    if not _is_drivers(error) or _is_about_data(error):
        return False
    text = _text(error)
    numbers = _NUMBER.findall(text)
    return (
        _has_state(error, _SERIALIZATION)
        or not _RETRIED.isdisjoint(numbers)
        or not _BUSY.isdisjoint(numbers)
        or _WORDS.search(text) is not None
    )


def is_lost_connection(error: Exception) -> bool:
    """Whether only a new connection helps."""
    if not _is_drivers(error) or _is_about_data(error):
        return False
    return any(_has_state(error, state) for state in _LOST_STATES) or _LOST_WORDS.search(_text(error)) is not None


def lacks_permission(error: Exception) -> bool:
    """Whether the login has no right to what it asked for."""
    return "permission was denied" in str(error) or "permission denied" in str(error)


def lacks_procedure(error: Exception) -> bool:
    """Whether the server does not know the procedure that was called (2812)."""
    return "2812" in _NUMBER.findall(_text(error)) or "could not find stored procedure" in _text(error).lower()


def refused_by_constraint(error: Exception) -> str | None:
    """What a constraint refused, in one line of the server's words; None for an error of another kind."""
    # The name that both drivers give to the errors of SQLSTATE 23000.
    if type(error).__name__ != "IntegrityError":
        return None
    text = str(error.args[-1] if error.args else error).rpartition("DDBC Error: ")[2]
    first, _, _ = text.partition("; [")  # the next message says only that the statement has ended
    return re.sub(r"^(\[[^]]*\]\s*)+|\s*\(\d+\)( \(SQL\w+\))?$", "", first)


def _is_drivers(error: Exception) -> bool:
    # The base class of PEP 249, which no other error has.
    return any(kind.__name__ == "Error" for kind in type(error).__mro__)


def _is_about_data(error: Exception) -> bool:
    """A value may say anything, `deadlock` included."""
    return type(error).__name__ in ("IntegrityError", "DataError")


def _text(error: Exception) -> str:
    return " ".join(map(str, error.args))


def _has_state(error: Exception, state: tuple[str, str]) -> bool:
    code, name = state
    return (error.args[:1] == (code,)) or str(getattr(error, "driver_error", "")).lower() == name
