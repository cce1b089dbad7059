"""Where the conformance suite finds a SQL Server, and how it leaves no trace on it.

VECTOR_TEST_SQLSERVER is an ODBC connection string, or `target:<name>`, an output of the user's own dbt profile.
VECTOR_TEST_SQLSERVER_BACKEND is the driver, pyodbc or mssql-python; without it, the one that is installed.
VECTOR_TEST_SQLSERVER_WITHOUT names features of FEATURES that a server of another make lacks, separated by commas: their
tests are not run. A stand-in that is known lacks its own without being told, and dbt builds on it with the macros of
standin/, which are no part of the project.
"""

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import live_report as report
import yaml
from support import PROJECT_DIR, ScratchProject

from vector.contracts.ledgers import LEDGERS
from vector.engines import engine_for_target
from vector.engines.sqlserver.connection import installed_backend
from vector.project.profile import load_target
from vector.store import VectorStore

CONNECTION = os.environ.get("VECTOR_TEST_SQLSERVER", "")
BACKEND = os.environ.get("VECTOR_TEST_SQLSERVER_BACKEND", "")
FEATURES = {
    "locks": "row locks that others skip (READPAST) or wait for (UPDLOCK)",
    "decimals": "SQL Server's scales of decimals, and its floats",
    "nul": "the character U+0000 in a text",
    "ignorable": "patterns that find characters which Unicode's collation ignores, as U+FEFF and controls",
    "utf16": "a text of fewer characters than its column has, but more UTF-16 units: it is stored, and not sent",
}
# The unit tests of dbt that need a feature.
UNIT_TESTS = {
    "decimals": ("space_comparison_by_hand",),
    "nul": ("document_says_why_it_cannot_be_chunked",),
}
WITHOUT = {name.strip() for name in os.environ.get("VECTOR_TEST_SQLSERVER_WITHOUT", "").split(",") if name.strip()}
# What `select @@version` of a stand-in says, and what it lacks.
STANDINS = {"Babelfish": {"ignorable", "locks", "decimals", "nul", "utf16"}}
SKIPPED = "VECTOR_TEST_SQLSERVER is not set: give an ODBC connection string, or target:<name> of your dbt profile"

STANDIN_MACROS = Path(__file__).with_name("standin") / "macros.jinja"

# Where the scratch profile finds the password: it is not written to a file.
_PASSWORD = "LIVE_SUITE_PASSWORD"
_KEYS = {
    "driver": "driver", "server": "server", "database": "database", "uid": "user", "user id": "user", "pwd": "password",
    "password": "password", "authentication": "authentication", "encrypt": "encrypt",
    "trustservercertificate": "trust_cert", "trusted_connection": "windows_login",
}  # fmt: skip


def sqlserver_output(connection: str, schema: str) -> dict[str, Any]:
    """The dbt output of an ODBC connection string, or of a target of the user's profile, in another schema."""
    if connection.startswith("target:"):
        target = load_target(PROJECT_DIR, target=connection.removeprefix("target:"))
        return {**target.settings, "schema": schema}
    output: dict[str, Any] = {"type": "sqlserver", "schema": schema, "threads": 1}
    for key, braced, plain in re.findall(r"([^=;]+)=(?:\{([^}]*)\}|([^;]*))", connection):
        name = _KEYS.get(key.strip().lower())
        if name is None:
            raise ValueError(
                f"VECTOR_TEST_SQLSERVER: the key {key.strip()!r} is not known; known are {', '.join(_KEYS)}"
            )
        value = braced or plain.strip()
        output[name] = (
            value.lower() in ("yes", "true", "1") if name in ("encrypt", "trust_cert", "windows_login") else value
        )
    server, _, port = output["server"].removeprefix("tcp:").partition(",")
    output.update(server=server, port=int(port or 1433))
    output.setdefault("driver", "ODBC Driver 18 for SQL Server")
    output["backend"] = BACKEND or installed_backend(output["driver"])
    return output


def use_sqlserver(project: ScratchProject) -> None:
    """Points a scratch project at the server, in schemas of its own."""
    output = sqlserver_output(CONNECTION, f"vector_test_{secrets.token_hex(4)}")
    if "password" in output:
        os.environ[_PASSWORD] = str(output["password"])
        output["password"] = f"{{{{ env_var('{_PASSWORD}') }}}}"
    profile = {"vector_runtime": {"target": "sqlserver", "outputs": {"sqlserver": output}}}
    (project.folder / "profiles.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    if unknown := WITHOUT - FEATURES.keys():
        raise ValueError(f"VECTOR_TEST_SQLSERVER_WITHOUT: {', '.join(unknown)}; known are {', '.join(FEATURES)}")
    report.driver = output["backend"]
    report.server = server_version(project)
    for name, lacking in STANDINS.items():
        if name in report.server:
            WITHOUT.update(lacking)
            use_no_pool()
            use_standin_macros(project.folder)
            ask_again(project)


def server_version(project: ScratchProject) -> str:
    """What the server says of itself, in its first line. Asked in another process: this one's first connection decides
    whether pyodbc pools them."""
    code = (
        "import sys; from pathlib import Path; from vector.engines import engine_for_target;"
        " from vector.project.profile import load_target; folder = Path(sys.argv[1]);"
        " engine = engine_for_target(load_target(folder, folder));"
        " print(engine.query('select cast(@@version as nvarchar(400))')[0][0]); engine.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project.folder)], cwd=PROJECT_DIR / "scripts", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0].strip()


def use_no_pool() -> None:
    """Has pyodbc give each command a session of its own. A stand-in's session that is used again after another one has
    changed a view looks for the tables of foreign keys in a schema whose name it has doubled."""
    with suppress(ImportError):
        import pyodbc

        pyodbc.pooling = False
        with suppress(pyodbc.Error):
            pyodbc.connect("DRIVER={none}")  # what makes the environment, with or without a pool, for good


# Now and then a stand-in looks for a relation of the schema `database_schema` in `database_database_schema`.
_TWICE = re.compile(r'relation "(\w+?)_\1_\w+\.\w+" does not exist')


def ask_again(project: ScratchProject) -> None:
    """Has a command that fails by the stand-in's own fault run once more; the report counts how often."""

    def once_more(ask: Callable[..., Any], told: Callable[[Any], str]) -> Callable[..., Any]:
        def asked(*arguments: str) -> Any:
            answer = ask(*arguments)
            if _TWICE.search(told(answer)):
                report.asked_again += 1
                answer = ask(*arguments)
            return answer

        return asked

    project.vector = once_more(project.vector, lambda done: done.stderr)
    project.dbt = once_more(project.dbt, lambda done: done.output)


def use_standin_macros(folder: Path) -> None:
    """Puts a stand-in's macros over those of dbt-sqlserver and of the project, in a copy of the project only."""
    macros = folder / "macros" / "zz_standin" / "standin.sql"
    macros.parent.mkdir(exist_ok=True)
    shutil.copy(STANDIN_MACROS, macros)
    # Of two macros of one name in a project dbt makes an error: the project's goes, the wording for T-SQL stays.
    for name in re.findall(r"{% *macro (\w+)", macros.read_text(encoding="utf-8")):
        replaced = folder / "macros" / "cross_db" / f"{name}.sql"
        if replaced.exists():
            kept = re.findall(r"{% *macro sqlserver__.*?endmacro -?%}", replaced.read_text(encoding="utf-8"), re.DOTALL)
            replaced.write_text("\n".join(kept), encoding="utf-8")


def open_store(project: ScratchProject) -> VectorStore:
    """A store over a new connection to the project's target."""
    return VectorStore(engine=engine_for_target(load_target(project.folder, project.folder)))


def ledger_rows(project: ScratchProject, *without: str) -> dict[str, list[str]]:
    """Every row of every ledger as text, in order, but those of the ledgers named."""
    store = open_store(project)
    try:
        found = {}
        for ledger in LEDGERS:
            if ledger.table not in without:
                sql = f"select {', '.join(ledger.column_names)} from {store.engine.table(ledger.table)}"
                found[ledger.table] = sorted(map(repr, store.engine.query(sql)))
        return found
    finally:
        store.close()


def let_go_of_tables(project: ScratchProject) -> bool:
    """Drops the views where a table that views read cannot be dropped, which is so on a stand-in only."""
    if project.engine != "sqlserver" or not any(name in report.server for name in STANDINS):
        return False
    engine = engine_for_target(load_target(project.folder, project.folder))
    for (name,) in engine.query(
        "select o.name from sys.objects as o inner join sys.schemas as s on s.schema_id = o.schema_id"
        " where s.name = ? and o.type = 'V' order by o.create_date desc, o.object_id desc",
        [engine.schema],
    ):
        engine.execute(f"drop view [{engine.schema}].[{name}]")
    engine.close()
    return True


def drop_schemas(project: ScratchProject) -> None:
    """Drops what the suite made on the server: foreign keys, views, then tables."""
    engine = engine_for_target(load_target(project.folder, project.folder))
    for schema in (engine.schema, f"{engine.schema}_demo"):
        for table, key in engine.query(
            "select object_name(k.parent_object_id), k.name from sys.foreign_keys as k"
            " inner join sys.schemas as s on s.schema_id = k.schema_id where s.name = ?",
            [schema],
        ):
            engine.execute(f"alter table [{schema}].[{table}] drop constraint [{key}]")
        for name, kind in engine.query(
            "select o.name, o.type from sys.objects as o inner join sys.schemas as s on s.schema_id = o.schema_id"
            " where s.name = ? and o.type in ('U', 'V') order by o.type desc, o.create_date desc, o.object_id desc",
            [schema],
        ):
            engine.execute(f"drop {'view' if kind.strip() == 'V' else 'table'} [{schema}].[{name}]")
        engine.execute(f"drop schema if exists [{schema}]")
    engine.close()
