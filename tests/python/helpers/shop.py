"""The project of tests/consumer, which has installed this one as a package, in a folder of its own."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb
from support import PROJECT_DIR, DbtRun, ScratchProject, clean_environment

TICKETS = """
    create schema "Help-Desk";
    create table "Help-Desk"."Ticket Rows" (
        "Ticket-Id" integer, "Subject" varchar, "Body" varchar, "ClosedAt" timestamptz, "Agent" varchar
    );
    insert into "Help-Desk"."Ticket Rows" values
        (1, 'Lamp broken', 'The lamp arrived in two pieces. 日本 The customer wants a new one.',
            '2026-03-01 10:00+02', 'ann'),
        (2, 'Late', 'Where is my parcel? It was sent a week ago.', '2026-03-02 08:00+00', 'bob');
"""


class Shop(ScratchProject):
    """The consumer with two tickets, after `dbt deps`. Nothing is built."""

    _artifacts = "--write-json"

    def __init__(self, folder: Path):
        shutil.copytree(PROJECT_DIR / "tests" / "consumer", folder, dirs_exist_ok=True)
        self.folder, self._manifests, self._edited = folder, {}, {}
        self.database_path, self._kept_database = folder / "shop.duckdb", folder / "kept.duckdb"
        self.environment = {"SHOP_DUCKDB_PATH": str(self.database_path)}
        (folder / "packages.yml").write_text(f"packages:\n  - local: {PROJECT_DIR}\n", encoding="utf-8")
        with duckdb.connect(str(self.database_path)) as connection:
            connection.execute(TICKETS)
        with clean_environment(self.environment):
            subprocess.run(
                [Path(sys.executable).with_name("dbt"), "deps"], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )

    def dbt(self, *arguments: str) -> DbtRun:
        with clean_environment(self.environment):
            return super().dbt(*arguments)

    def reset(self) -> None:
        super().reset()
        self.environment = {"SHOP_DUCKDB_PATH": str(self.database_path)}

    def ask(self, sql: str) -> list[tuple]:
        """All rows of a select; the runtime's relations are found without their schema."""
        with duckdb.connect(str(self.database_path)) as connection:
            connection.execute("set search_path = '\"Vector Search\",analytics'")
            return connection.execute(sql).fetchall()

    def write(self, path: str, text: str) -> None:
        """Writes a file that is there anew; `reset` brings the old one back."""
        self._write(self.folder / path, text)

    def faults(self, *selected: str) -> Sequence[str]:
        """The lines of a build of the selected models that name what is wrong with one."""
        options = ("--full-refresh", "--exclude-resource-type", "unit_test")  # a seed may have another column
        done = self.dbt("build", *options, "--select", *selected)
        assert not done.success, done.output
        return done.output.splitlines()
