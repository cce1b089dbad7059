"""A stand-in for pyodbc that talks to no server: it records every statement and gives canned answers.

dbt imports it in a process of its own, where the environment names the recording and the answers; the engine's tests
give their own. It is only as much of pyodbc as dbt-sqlserver and the SQL Server engine use, and as strict as the real
one with Microsoft's driver:

- the server describes no parameter of a statement that names a temporary table, so that fast_executemany binds
  varchar(255): longer texts are refused, other than Latin ones garbled, fractions of seconds lost (its issues 295,
  380, 415);
- parameters have known types, as many as the statement has marks, and at most 2,100;
- without autocommit the first statement begins a transaction, which only commit or rollback ends. An error dooms it
  (XACT_ABORT ON): nothing but a rollback is taken then. A temporary table goes with the transaction that made it, and
  one that a statement with parameters makes goes with the statement;
- under SET NOCOUNT ON a statement has no row count, and the option stays on for the session;
- each statement of a batch has a result of its own, and numeric is Decimal.
"""

import decimal
import itertools
import json
import os
import re
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any


class Error(Exception):
    pass


class DatabaseError(Error):
    pass


class DataError(DatabaseError):
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


_LITERALS = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_NAMED = re.compile(r"(?<![\w#])#\w+")
_MADE = re.compile(r"\b(?:create\s+table|into)\s+(#\w+)(?=\s*\(|\s+from\b)", re.IGNORECASE)
_DROPPED = re.compile(r"\bdrop\s+table\s+(?:if\s+exists\s+)?(#\w+)", re.IGNORECASE)
_NOCOUNT = re.compile(r"\bset\s+nocount\s+(on|off)\b", re.IGNORECASE)
_COUNTED = re.compile(r";\s*select\s+@@rowcount\s*$", re.IGNORECASE)
_TYPES = (str, int, float, decimal.Decimal, bytes, bytearray, date, time, uuid.UUID, type(None))
_MOST_PARAMETERS = 2100


class Connection:
    """An open connection. `calls` are the statements, commits and rollbacks it has seen."""

    def __init__(
        self,
        answer: Callable[[str, Sequence[Any]], Answer],
        autocommit: bool = False,
        record: Callable[[dict], None] = lambda call: None,
    ):
        self.answer, self.record = answer, record
        self._autocommit = autocommit
        self.calls: list[dict] = []
        self.timeout = 0
        self.session = next(_sessions)
        self.in_transaction = self.doomed = self.nocount = self.closed = False
        # Temporary tables, each with whether the open transaction has made it.
        self.temporary: dict[str, bool] = {}

    @property
    def autocommit(self) -> bool:
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if value and self.in_transaction:  # as ODBC has it
            self.commit()
        self._autocommit = value

    def cursor(self) -> "Cursor":
        self.require_open()
        return Cursor(self)

    def getinfo(self, code: int) -> str:
        return "libmsodbcsql-18.so" if code == SQL_DRIVER_NAME else ""

    def add_output_converter(self, code: int, function: Callable) -> None:
        pass

    def commit(self) -> None:
        self.require_open()
        if self.doomed:
            raise _doomed()
        self.in_transaction = False
        self.temporary = dict.fromkeys(self.temporary, False)
        self.note(call="commit")

    def rollback(self) -> None:
        self.require_open()
        self.in_transaction = self.doomed = False
        self.temporary = {name: False for name, made_in_it in self.temporary.items() if not made_in_it}
        self.note(call="rollback")

    def close(self) -> None:
        self.require_open()
        self.closed = True
        self.note(call="close")

    def require_open(self) -> None:
        if self.closed:
            raise ProgrammingError("Attempt to use a closed connection.")

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
        self._results: list[Answer] = []
        self._closed = False

    def execute(self, sql: str, *parameters: Any) -> "Cursor":
        bound = list(parameters[0] if len(parameters) == 1 and isinstance(parameters[0], tuple | list) else parameters)
        bound = _bound(sql, bound)
        self.connection.note(call="execute", sql=sql, parameters=bound)
        self._send(sql, bound, [bound])
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        bound = [_bound(sql, list(row)) for row in rows]
        if self.fast_executemany and _NAMED.search(_LITERALS.sub("", sql)):
            bound = [[_as_varchar_255(value) for value in row] for row in bound]
        self.connection.note(call="executemany", sql=sql, parameters=bound, fast=self.fast_executemany)
        self._send(sql, bound, bound)

    def fetchall(self) -> list[tuple]:
        return self.fetchmany(len(self._rows))

    def fetchmany(self, size: int) -> list[tuple]:
        if self.description is None:
            raise ProgrammingError("No results.  Previous SQL was not a query.")
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def nextset(self) -> bool:
        if not self._results:
            self.description, self.rowcount, self._rows = None, -1, []
            return False
        self._take(self._results.pop(0))
        return True

    def close(self) -> None:
        if self._closed:
            raise ProgrammingError("The cursor is closed.")
        self._closed = True

    def _send(self, sql: str, given: Sequence[Any], rows: Sequence[Sequence[Any]]) -> None:
        connection, text = self.connection, _LITERALS.sub("''", sql)
        connection.require_open()
        if self._closed:
            raise ProgrammingError("Attempt to use a closed cursor.")
        if connection.doomed:
            raise _doomed()
        connection.in_transaction = connection.in_transaction or not connection.autocommit
        try:
            made, dropped = _MADE.findall(text), _DROPPED.findall(text)
            for name in _NAMED.findall(text):
                if name not in (*made, *dropped, *connection.temporary):
                    raise ProgrammingError(
                        "42S02", f"[42S02] [Microsoft][SQL Server]Invalid object name '{name}'. (208)"
                    )
            answer = connection.answer(sql, given)
        except Exception:
            connection.doomed = connection.in_transaction
            raise
        if not any(rows):  # with parameters it is prepared, and what it makes ends with it
            connection.temporary.update(dict.fromkeys(made, connection.in_transaction))
        for name in dropped:
            connection.temporary.pop(name, None)
        for state in _NOCOUNT.findall(text):
            connection.nocount = state.lower() == "on"
        counts = [] if connection.nocount else [Answer(written=answer.written)]
        if _COUNTED.search(text):
            self._results = [*counts, Answer(("",), [(max(answer.written, 0),)])]
        else:
            self._results = [Answer(answer.columns, answer.rows, -1)] if answer.columns else counts
        self.nextset()

    def _take(self, answer: Answer) -> None:
        self.description = [
            (name, _type_of([row[i] for row in answer.rows]), None, None, None, None, True)
            for i, name in enumerate(answer.columns)
        ] or None
        self.rowcount = answer.written
        self._rows = [tuple(row) for row in answer.rows]


def _bound(sql: str, parameters: list[Any]) -> list[Any]:
    """The parameters as the driver sends them. Raises what the driver raises before it asks the server."""
    marks = _LITERALS.sub("", sql).count("?")
    if marks != len(parameters):
        raise ProgrammingError(
            f"The SQL contains {marks} parameter markers, but {len(parameters)} parameters were supplied", "HY000"
        )
    if marks > _MOST_PARAMETERS:
        raise Error("07002", "[07002] [Microsoft][ODBC Driver 18 for SQL Server]COUNT field incorrect (0)")
    for i, value in enumerate(parameters):
        if not isinstance(value, _TYPES):
            raise ProgrammingError(f"Invalid parameter type.  param-index={i} param-type={type(value)}", "HY105")
        if isinstance(value, str):
            value.encode("utf-16-le")
    # A time's zone is dropped in silence.
    return [value.replace(tzinfo=None) if isinstance(value, datetime) else value for value in parameters]


def _as_varchar_255(value: Any) -> Any:
    """What becomes of a value that is bound as the type which pyodbc guesses when the server describes none."""
    if isinstance(value, str):
        if len(value) > 255:
            size = 2 * len(value)
            raise DataError("22001", f"[22001] String data, right truncation: length {size} buffer 510", "HY000")
        return value.encode("latin-1", "replace").decode("latin-1")
    return value.replace(microsecond=0) if isinstance(value, datetime) else value


def _type_of(values: Sequence[Any]) -> type:
    return next((type(value) for value in values if value is not None), str)


def _doomed() -> Error:
    return ProgrammingError(
        "42000",
        "[42000] [Microsoft][SQL Server]The current transaction cannot be committed and cannot support operations that"
        " write to the log file. Roll back the transaction. (3930)",
    )


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
