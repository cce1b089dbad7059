"""The project's own data tests, run by dbt in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vector.project.dbt import Dbt, DbtProject, DbtRun, Progress
from vector.project.selection import GUARDS


@dataclass(frozen=True)
class DataTests:
    """How many tests passed, and the names of those that failed (or could not run) and of those that warned. `told` is
    what tests logged of their findings, a line each, which begins with the test's name."""

    passed: int
    failed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


def run_data_tests(
    project_dir: Path,
    profiles_dir: Path,
    target: str,
    variables: Mapping[str, Any] | None = None,
    on_progress: Progress = lambda done, planned: None,
) -> DataTests:
    """Runs `dbt test` over the ledgers and the invariants. On DuckDB nobody else may have the database open meanwhile.
    `on_progress` is told of each test that has ended: how many have, of how many.

    Raises ConfigurationError when dbt ends without results: it cannot parse the project, or reach the database.
    """
    with (
        TemporaryDirectory(prefix="vector-dbt-") as folder,
        Dbt(DbtProject(project_dir, profiles_dir, target, variables or {})) as dbt,
    ):
        # Apart from the project's own target folder, where another dbt may be at work.
        apart = ("--target-path", folder, "--log-path", folder)
        return data_tests_of(dbt.run("test", *GUARDS, *apart, on_progress=on_progress))


def data_tests_of(run: DbtRun) -> DataTests:
    """How the data tests ended that dbt has run."""

    def named(*statuses: str) -> tuple[str, ...]:
        return tuple(each.name for each in run.ended(*statuses))

    passed, warned = named("pass"), named("warn")
    failed = named(*{each.status for each in run.results} - {"pass", "warn", "success"})  # success is a hook's
    told = tuple(f"{name}: {line}" for name in (*failed, *warned) for line in run.said_of(name))
    return DataTests(len(passed), failed, warned, told)
