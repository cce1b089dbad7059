"""One process of dbt for many commands: to start one takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from types import TracebackType

import pytest

from vector.project.dbt import Dbt


@contextmanager
def kept_warm() -> Iterator[None]:
    """Within, a process that is idle when its command ends waits for the next one in the same environment."""
    waiting: list[tuple[dict[str, str], Popen[bytes]]] = []
    start, leave = Dbt.start, Dbt.__exit__

    def start_or_take(self: Dbt) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        while waiting:
            environment, process = waiting.pop()
            if environment == _environment() and process.poll() is None:
                self._process = process
                return
            _end(process)
        start(self)

    def leave_waiting(
        self: Dbt, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None or not self._idle or self._process.poll() is not None or waiting:
            leave(self, kind, error, traceback)
            return
        waiting.append((_environment(), self._process))
        self._process = None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dbt, "start", start_or_take)
        patch.setattr(Dbt, "__exit__", leave_waiting)
        yield
    for _, process in waiting:
        _end(process)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _end(process: Popen[bytes]) -> None:
    process.kill()
    process.communicate()
