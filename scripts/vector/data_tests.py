"""The project's own data tests, run by dbt in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vector.errors import ConfigurationError

# The tests of the ledgers, and those that follow no model.
SELECTION = ("config.materialized:ledger", "path:tests/invariants")


@dataclass(frozen=True)
class DataTests:
    """How many tests passed, and the names of those that failed (or could not run) and of those that warned."""

    passed: int
    failed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()


def run_data_tests(
    project_dir: Path, profiles_dir: Path, target: str, variables: Mapping[str, Any] | None = None
) -> DataTests:
    """Runs `dbt test` over the ledgers. On DuckDB nobody else may have the database open meanwhile.

    Raises ConfigurationError when dbt ends without results: it cannot parse the project, or reach the database.
    """
    where = ["--project-dir", str(project_dir), "--profiles-dir", str(profiles_dir), "--target", target]
    if variables:
        where += ["--vars", json.dumps(variables)]
    select = ["--exclude-resource-type", "unit_test", "--select", *SELECTION]
    with TemporaryDirectory(prefix="vector-dbt-") as folder:
        # Apart from the project's own target folder, where another dbt may be at work.
        command = [sys.executable, "-m", "dbt.cli.main", "test", *where, *select]
        done = subprocess.run(
            [*command, "--target-path", folder, "--log-path", folder], stdin=subprocess.DEVNULL, capture_output=True
        )
        results = Path(folder, "run_results.json")
        if not results.is_file():
            raise ConfigurationError(
                f"dbt ended with exit code {done.returncode} and no test results;"
                f" `dbt {' '.join(command[3:])}` shows why"
            )
        return _read(json.loads(results.read_text(encoding="utf-8"))["results"])


def _read(results: Sequence[dict]) -> DataTests:
    def named(*statuses: str) -> tuple[str, ...]:
        # test.<project>.<name> or, of a generic one, test.<project>.<name>.<hash>
        return tuple(sorted(each["unique_id"].split(".")[2] for each in results if each["status"] in statuses))

    passed, warned = named("pass"), named("warn")
    failed = named(*{each["status"] for each in results} - {"pass", "warn", "success"})  # success is a hook's
    return DataTests(len(passed), failed, warned)
