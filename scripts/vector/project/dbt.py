"""dbt, in a process of its own: it takes seconds to start, and may be at work for an hour.

The process stays for the next command, which then needs no start, but has the database closed between two of them: on
DuckDB nobody else could open it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import vector
from vector.errors import ConfigurationError
from vector.project.profile import find_profiles_dir, find_project_dir
from vector.wording import UTF_8, shell_line

# How long dbt may take to end after it was asked to, in seconds.
_GRACE = 20.0
# dbt's line of a node that has ended: how many have, of how many.
_ENDED = re.compile(r"^(\d+) of (\d+) (?:OK|PASS|WARN|FAIL|ERROR|SKIP|NO-OP)\b")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DbtProject:
    """What dbt is told of the project, the profile, the target and the variables. No target: dbt's own choice. Where
    `dbt build` is run without, dbt would parse the whole project again for one that is said."""

    project_dir: Path
    profiles_dir: Path
    target: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def found(
        cls, project_dir: str | None, profiles_dir: str | None, target: str | None, variables: Mapping[str, Any]
    ) -> DbtProject:
        """By the rules of `load_target`. Raises ConfigurationError where there is no project."""
        project = find_project_dir(project_dir)
        return cls(project, find_profiles_dir(project, profiles_dir), target, variables)

    @property
    def options(self) -> list[str]:
        """The options of a dbt command."""
        where = {"--project-dir": self.project_dir, "--profiles-dir": self.profiles_dir, "--target": self.target}
        given = [str(part) for option in where.items() if option[1] is not None for part in option]
        return [*given, *(("--vars", json.dumps(dict(self.variables))) if self.variables else ())]


@dataclass(frozen=True)
class NodeResult:
    """How a node ended: `status` in dbt's words (success, pass, warn, fail, error, skipped, no-op)."""

    unique_id: str
    status: str
    message: str | None
    seconds: float

    @property
    def resource_type(self) -> str:
        """model, test, seed, operation (a hook) and so on."""
        return self.unique_id.split(".")[0]

    @property
    def name(self) -> str:
        """`<name>` of <type>.<package>.<name>, or of test.<package>.<name>.<hash>."""
        return self.unique_id.split(".")[2]


@dataclass(frozen=True)
class DbtRun:
    """What a command of dbt did. `said` is its log, a line each; `listed` what `dbt list` gives."""

    results: tuple[NodeResult, ...] = ()
    said: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    def __add__(self, other: DbtRun) -> DbtRun:
        """Both, one after the other."""
        return DbtRun(self.results + other.results, self.said + other.said, self.listed + other.listed)

    def ended(self, *statuses: str) -> tuple[NodeResult, ...]:
        """The nodes of these statuses, by their names."""
        return tuple(sorted((each for each in self.results if each.status in statuses), key=lambda each: each.name))

    def said_of(self, name: str) -> tuple[str, ...]:
        """What a node has logged: the lines that begin with its name."""
        return tuple(line.removeprefix(f"{name}: ") for line in self.said if line.startswith(f"{name}: "))


class Dbt:
    """Runs commands of dbt on a project; a context manager, which ends the process."""

    def __init__(self, project: DbtProject) -> None:
        self.project = project
        self._process: subprocess.Popen[bytes] | None = None
        self._idle = True

    def __enter__(self) -> Dbt:
        return self

    def start(self) -> None:
        """Starts the process, unless it is there. Optional: so that dbt is ready when it is needed."""
        if self._process is not None and self._process.poll() is None:
            return
        # -P, as an html.py in the working directory is none of Python's. This package may not be installed.
        home = str(Path(vector.__file__).resolve().parents[1])
        code = f"import sys; sys.path.append({home!r}); from vector.project.dbt_child import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **UTF_8},
            # Ctrl-C on a terminal is for this process, which tells dbt.
            start_new_session=True,
        )

    def run(self, *arguments: str, on_progress: Progress = lambda done, planned: None) -> DbtRun:
        """Runs a command, such as `run("build", "--select", "chunk")`. `on_progress` is told of each node that has
        ended: how many have, of how many.

        Raises ConfigurationError when dbt ends without results: it cannot parse the project, or reach the database.
        """
        self.start()
        command = [arguments[0], *self.project.options, *arguments[1:]]
        said: list[str] = []
        self._idle = False
        for reply in self._replies([*command, "--no-use-colors"]):
            if "said" not in reply:
                self._idle = True
                return self._ended(reply, command, said)
            text = str(reply["said"])
            if ended := _ENDED.match(text):
                on_progress(int(ended[1]), int(ended[2]))
            else:
                said.append(text)
        code = self._process.wait() if self._process else None
        raise ConfigurationError(f"dbt ended with exit code {code}; `{shell_line(['dbt', *command])}` shows why")

    def _replies(self, command: list[str]) -> Iterator[dict[str, Any]]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(command).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            return  # it has ended, before it was asked anything
        for line in process.stdout:
            yield json.loads(line)

    def _ended(self, reply: dict[str, Any], command: list[str], said: list[str]) -> DbtRun:
        results = tuple(NodeResult(*each) for each in reply["results"])
        if reply["error"] is not None or not (reply["success"] or results):
            shown = " ".join(str(reply["error"] or "").split()) or f"`{shell_line(['dbt', *command])}` shows why"
            raise ConfigurationError(f"dbt could not run: {shown}")
        return DbtRun(results, tuple(said), tuple(map(str, reply["listed"])))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        if self._idle:
            process.kill()  # it has nothing open, and would take seconds to end by itself
        elif process.poll() is None:
            # dbt cancels what its connections are doing. Windows has no such signal.
            process.send_signal(signal.SIGINT) if sys.platform != "win32" else process.terminate()
        try:
            process.communicate(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
