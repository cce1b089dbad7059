"""What errors of SQL Server mean, in the words of each driver. mssql-python's are its own classes."""

import pytest
from mssql_python import exceptions as mssql_python
from support import PROJECT_DIR
from tsql.driver import pyodbc

from vector.engines.sqlserver.connection import explained
from vector.engines.sqlserver.errors import (
    is_lost_connection,
    is_transient,
    lacks_permission,
    lacks_procedure,
    refused_by_constraint,
)
from vector.project.profile import Target

# The server's number, its text, and the SQLSTATE that Microsoft's driver gives it.
TRANSIENT = [
    (
        1205,
        "Transaction (Process ID 52) was deadlocked on lock resources with another process and has been chosen as the"
        " deadlock victim. Rerun the transaction.",
        "40001",
    ),
    (1222, "Lock request time out period exceeded.", "42000"),
    (1222, "Lock request time out period exceeded.", "HYT00"),
    (
        3960,
        "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to access"
        " table 'vector.job' directly or indirectly in database 'w' to update, delete, or insert the row that has been"
        " modified or deleted by another transaction.",
        "42000",
    ),
    (10928, "Resource ID: 1. The request limit for the database is 200 and has been reached.", "42000"),
    (
        10929,
        "Resource ID: 1. The request minimum guarantee is 0, maximum limit is 200 and the current usage for the"
        " database is 3. However, the server is currently too busy to support requests greater than 3 for this"
        " database.",
        "42000",
    ),
    (
        40197,
        "The service has encountered an error processing your request. Please try again. Error code 4221.",
        "42000",
    ),
    (40501, "The service is currently busy. Retry the request after 10 seconds. Incident ID: x. Code: 1.", "42000"),
    (40613, "Database 'w' on server 's' is not currently available. Please retry the connection later.", "HY000"),
    (
        49918,
        "Cannot process request. Not enough resources to process request. Please retry your request later.",
        "HY000",
    ),
    (
        49919,
        "Cannot process create or update request. Too many create or update operations in progress for subscription x.",
        "HY000",
    ),
    (49920, "Cannot process request. Too many operations in progress for subscription x.", "HY000"),
]
LASTING = [
    (208, "Invalid object name 'vector.chunk'.", "42S02"),
    (
        2627,
        "Violation of PRIMARY KEY constraint 'pk'. The duplicate key value is (deadlock victim (1205), 1222).",
        "23000",
    ),
    (547, 'The INSERT statement conflicted with the FOREIGN KEY constraint "fk_deadlocked on".', "23000"),
    (245, "Conversion failed when converting the nvarchar value '(1205)' to data type int.", "22018"),
    (8152, "String or binary data would be truncated: 'Lock request time out'.", "22001"),
    (
        3930,
        "The current transaction cannot be committed and cannot support operations that write to the log file.",
        "42000",
    ),
    (9002, "The transaction log for database 'w' is full due to 'LOG_BACKUP'.", "42000"),
]
DRIVERS = ("pyodbc", "mssql-python")


def raised(driver, number, text, state):
    """The error as the driver raises it: by its own mapping of SQLSTATEs."""
    if driver == "mssql-python":
        try:
            mssql_python.raise_exception(state, f"[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text}")
        except mssql_python.Exception as error:
            return error
    kind = {"23000": pyodbc.IntegrityError, "22": pyodbc.DataError, "08": pyodbc.OperationalError}
    message = f"[{state}] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]{text} ({number}) (SQLExecDirectW)"
    return (kind.get(state) or kind.get(state[:2]) or pyodbc.ProgrammingError)(state, message)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("number", "text", "state"), TRANSIENT)
def test_what_may_do_better_in_a_moment_is_known(driver, number, text, state):
    error = raised(driver, number, text, state)
    assert is_transient(error)
    assert not is_lost_connection(error)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("number", "text", "state"), LASTING)
def test_what_would_fail_again_is_not_tried_again(driver, number, text, state):
    error = raised(driver, number, text, state)
    assert not is_transient(error)
    assert not is_lost_connection(error)


@pytest.mark.parametrize("text", ["deadlock detected", "could not serialize access due to concurrent update"])
def test_mssql_python_gives_no_number_of_a_serialization_failure(text):
    assert is_transient(raised("mssql-python", 1205, text, "40001"))


def test_a_number_of_another_message_of_the_same_error_counts():
    first = "[42000] [Microsoft][SQL Server]The service is currently in a bad mood. (40501) (SQLExecDirectW)"
    last = "[42000] [Microsoft][SQL Server]The statement has been terminated. (3621)"
    assert is_transient(pyodbc.ProgrammingError("42000", f"{first}; {last}"))


@pytest.mark.parametrize("error", [ValueError("1205"), RuntimeError("deadlock victim (1205)"), KeyError()])
def test_errors_of_others_are_not_the_servers(error):
    assert not is_transient(error)
    assert not is_lost_connection(error)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Communication link failure", "08S01"),
        ("TCP Provider: Error code 0x2746", "08S01"),
        ("Connection not open", "08003"),
        ("TCP Provider: An existing connection was forcibly closed by the remote host. (10054)", "HY000"),
    ],
)
def test_a_lost_connection_is_known(driver, text, state):
    assert is_lost_connection(raised(driver, 0, text, state))


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_permission_a_procedure_and_a_constraint_are_told_apart(driver):
    denied = raised(driver, 229, "The EXECUTE permission was denied on the object 'sp_getapplock'.", "42000")
    missing = raised(driver, 2812, "Could not find stored procedure 'sp_getapplock'.", "42000")
    refused = raised(driver, 2627, "Violation of PRIMARY KEY constraint 'pk'.", "23000")
    assert [lacks_permission(error) for error in (denied, missing, refused)] == [True, False, False]
    assert [lacks_procedure(error) for error in (denied, missing, refused)] == [False, True, False]
    assert [refused_by_constraint(error) for error in (denied, missing, refused)] == [
        None,
        None,
        "Violation of PRIMARY KEY constraint 'pk'.",
    ]


TARGET = Target("vector", "sqlserver", "sqlserver", "vector", {"type": "sqlserver"}, PROJECT_DIR)
LOGIN_FAILED = "Login failed for user 'vector'."
NO_DATABASE = 'Cannot open database "nowhere" requested by the login. The login failed.'


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("first", [NO_DATABASE, LOGIN_FAILED])
def test_a_wrong_database_is_no_refused_login(driver, first):
    """The server sends 4060 and 18456, in either order."""
    other = LOGIN_FAILED if first is NO_DATABASE else NO_DATABASE
    numbers = {NO_DATABASE: 4060, LOGIN_FAILED: 18456}
    text = f"{first} ({numbers[first]}) (SQLDriverConnect); [28000] [Microsoft][SQL Server]{other}"
    if driver == "mssql-python":
        text = f"{first}{other}"
    error = raised(driver, numbers[other], text, "28000")
    assert explained(error, TARGET).startswith("the database does not exist, or the login may not open it")


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_refused_login_is_one(driver):
    error = raised(driver, 18456, LOGIN_FAILED, "28000")
    assert explained(error, TARGET).startswith("the login was refused")
