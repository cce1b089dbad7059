"""A stand-in for pyodbc that talks to no server: it records every statement and gives canned answers.

dbt imports it in a process of its own, where the environment names the recording and the answers; the engine's tests
give their own. It is only as much of pyodbc as dbt-sqlserver and the SQL Server engine use.
"""

import itertools
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


class Error(Exception):
    pass


class DatabaseError(Error):
    pass


class IntegrityError(DatabaseError):
    pass


class InterfaceError(Error):
    pass


class InternalError(DatabaseError):
    pass


class OperationalError(DatabaseError):
    pass


class ProgrammingError(DatabaseError):
    pass


version = "5.5.0"
pooling = True
native_uuid = False
SQL_DRIVER_NAME = 6

_recording = threading.Lock()
_sessions = itertools.count(1)


@dataclass
class Answer:
    """What the server says to a statement: the names of its columns and its rows, or how many rows it wrote."""

    columns: Sequence[str] = ()
    rows: Sequence[tuple] = ()
    written: int = -1


@dataclass
class Connection:
    """An open connection. `calls` are the statements, commits and rollbacks it has seen."""

    answer: Callable[[str, Sequence[Any]], Answer]
    autocommit: bool = False
    driver: str = "libmsodbcsql-18.so"
    calls: list[dict] = field(default_factory=list)
    record: Callable[[dict], None] = lambda call: None
    timeout: int = 0
    session: int = field(default_factory=lambda: next(_sessions))

    def cursor(self) -> "Cursor":
        return Cursor(self)

    def getinfo(self, code: int) -> str:
        return self.driver if code == SQL_DRIVER_NAME else ""

    def add_output_converter(self, code: int, function: Callable) -> None:
        pass

    def commit(self) -> None:
        self.note(call="commit")

    def rollback(self) -> None:
        self.note(call="rollback")

    def close(self) -> None:
        self.note(call="close")

    def note(self, **call: Any) -> None:
        self.calls.append(call)
        self.record({"session": self.session, **call})


class Cursor:
    def __init__(self, connection: Connection):
        self.connection = connection
        self.fast_executemany = False
        self.description = None
        self.rowcount = -1
        self._rows: list[tuple] = []

    def execute(self, sql: str, *parameters: Any) -> "Cursor":
        bound = list(parameters[0] if len(parameters) == 1 and isinstance(parameters[0], tuple | list) else parameters)
        self.connection.note(call="execute", sql=sql, parameters=bound)
        self._take(self.connection.answer(sql, bound))
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self.connection.note(call="executemany", sql=sql, parameters=list(rows), fast=self.fast_executemany)
        self._take(self.connection.answer(sql, rows))

    def fetchall(self) -> list[tuple]:
        return self.fetchmany(len(self._rows))

    def fetchmany(self, size: int) -> list[tuple]:
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def nextset(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def _take(self, answer: Answer) -> None:
        self.description = [(name, str, None, None, None, None, True) for name in answer.columns] or None
        self.rowcount = answer.written
        self._rows = [tuple(row) for row in answer.rows]


def connect(connection_string: str, **options: Any) -> Connection:
    """A connection to the canned server that the environment describes."""
    # Here, since the canned server answers in classes of this module.
    from tsql.server import CannedServer

    server = CannedServer.from_json(os.environ["TSQL_ANSWERS"])
    log = os.environ["TSQL_RECORDING"]

    def record(call: dict) -> None:
        with _recording, open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(call, default=str) + "\n")

    return Connection(server.answer, autocommit=options.get("autocommit", False), record=record)
