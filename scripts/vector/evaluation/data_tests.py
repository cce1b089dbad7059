"""The project's own data tests, run by dbt in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vector.errors import ConfigurationError
from vector.wording import UTF_8, shell_line

# The tests of the ledgers, and those that follow no model.
SELECTION = ("config.materialized:ledger", "path:tests/invariants")


@dataclass(frozen=True)
class DataTests:
    """How many tests passed, and the names of those that failed (or could not run) and of those that warned. `told` is
    what tests logged of their findings, a line each, which begins with the test's name."""

    passed: int
    failed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


# dbt's line of a test that has ended, and the clock before every line.
_ENDED = re.compile(r"(\d+) of (\d+) (?:PASS|WARN|FAIL|ERROR|SKIP)")
_CLOCK = re.compile(r"^\d\d:\d\d:\d\d\s+")


def run_data_tests(
    project_dir: Path,
    profiles_dir: Path,
    target: str,
    variables: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, planned: None,
) -> DataTests:
    """Runs `dbt test` over the ledgers. On DuckDB nobody else may have the database open meanwhile. `on_progress` is
    told of each test that has ended: how many have, of how many.

    Raises ConfigurationError when dbt ends without results: it cannot parse the project, or reach the database.
    """
    where = ["--project-dir", str(project_dir), "--profiles-dir", str(profiles_dir), "--target", target]
    if variables:
        where += ["--vars", json.dumps(variables)]
    arguments = ["test", *where, "--exclude-resource-type", "unit_test", "--select", *SELECTION]
    with TemporaryDirectory(prefix="vector-dbt-") as folder:
        # Apart from the project's own target folder, where another dbt may be at work; -P, as an html.py in the working
        # directory is none of Python's.
        command = [sys.executable, "-P", "-m", "dbt.cli.main", "--no-use-colors", *arguments]
        told = []
        with subprocess.Popen(
            [*command, "--target-path", folder, "--log-path", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **UTF_8},
        ) as done:
            for line in done.stdout or ():
                if ended := _ENDED.search(line):
                    on_progress(int(ended[1]), int(ended[2]))
                else:
                    told.append(_CLOCK.sub("", line.rstrip()))
        results = Path(folder, "run_results.json")
        if not results.is_file():
            raise ConfigurationError(
                f"dbt ended with exit code {done.returncode} and no test results;"
                f" `{shell_line(['dbt', *arguments])}` shows why"
            )
        return _read(json.loads(results.read_text(encoding="utf-8"))["results"], told)


def _read(results: Sequence[dict], told: Sequence[str]) -> DataTests:
    def named(*statuses: str) -> tuple[str, ...]:
        # test.<project>.<name> or, of a generic one, test.<project>.<name>.<hash>
        return tuple(sorted(each["unique_id"].split(".")[2] for each in results if each["status"] in statuses))

    passed, warned = named("pass"), named("warn")
    failed = named(*{each["status"] for each in results} - {"pass", "warn", "success"})  # success is a hook's
    names = tuple(f"{name}: " for name in (*failed, *warned))
    return DataTests(len(passed), failed, warned, tuple(line for line in told if names and line.startswith(names)))
