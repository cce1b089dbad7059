"""The project compiled for SQL Server, with no server."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[4]
# What the profile reads from the environment; nothing is there, and nothing is asked.
CONNECTION = {
    "VECTOR_SQLSERVER_HOST": "localhost",
    "VECTOR_SQLSERVER_DATABASE": "analytics",
    "VECTOR_SQLSERVER_USER": "nobody",
    "DBT_ENV_SECRET_VECTOR_SQLSERVER_PASSWORD": "nothing",
}


# An alarm is a data test only where its variable is set; so is what looks at the cut of all texts.
ALARMS = (
    "{alarm_hours_without_embed: 3, alarm_min_coverage: 0.9, alarm_max_pending: 5, alarm_max_cost_per_day: 1.5,"
    " cut_all: true}"
)


@dataclass(frozen=True)
class Node:
    """A model or a data test, as dbt sends it."""

    name: str
    resource_type: str
    materialized: str
    # What its compiled file is called: dbt shortens a long name.
    file: str
    sql: str

    @property
    def statement(self) -> str:
        """The query where it is run: a ledger's is a derived table, every other one a view."""
        return f"select *\nfrom (\n{self.sql}\n) as change" if self.materialized == "ledger" else self.sql


def run_dbt(
    *arguments: str, folder: Path, project: Path = PROJECT_DIR, **environment: str
) -> subprocess.CompletedProcess:
    """dbt on the target sqlserver, in a process of its own; all that it writes is in the folder. Always with the same
    variables: with others it would parse anew."""
    profiles = folder / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROJECT_DIR / "profiles.example.yml", profiles / "profiles.yml")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "VECTOR_"))}
    command = [
        str(Path(sys.executable).with_name("dbt")), "--no-use-colors", *arguments,
        *("--target", "sqlserver", "--vars", ALARMS),
        *("--project-dir", str(project), "--profiles-dir", str(profiles)),
        *("--target-path", str(folder / "target"), "--log-path", str(folder / "logs")),
    ]  # fmt: skip
    return subprocess.run(
        command, env={**kept, **CONNECTION, **environment}, cwd=folder, capture_output=True, encoding="utf-8"
    )


def compile_nodes(folder: Path, project: Path = PROJECT_DIR, *selected: str) -> None:
    """Compiles every model and data test of a project into the folder, or those that are selected."""
    options = ("--no-populate-cache", "--no-introspect", *(("--select", *selected) if selected else ()))
    done = run_dbt("compile", *options, folder=folder, project=project)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def compiled_nodes(folder: Path) -> dict[str, Node]:
    """Every model and data test that is compiled in the folder, by its name."""
    manifest = json.loads((folder / "target" / "manifest.json").read_text(encoding="utf-8"))
    nodes = {}
    for node in manifest["nodes"].values():
        # A test of a disabled model is in the manifest, and disabled too.
        if node["resource_type"] in ("model", "test") and node["config"]["enabled"]:
            path = folder / "target" / "compiled" / node["package_name"] / _compiled_path(node)
            sql = path.read_text(encoding="utf-8")
            nodes[node["name"]] = Node(
                node["name"], node["resource_type"], node["config"]["materialized"], path.stem, sql
            )
    return nodes


def _compiled_path(node: dict) -> Path:
    """A generic test is compiled into a folder called after its yml, under a name that dbt may have shortened."""
    path = Path(node["original_file_path"])
    return path / node["path"] if path.suffix == ".yml" else path
