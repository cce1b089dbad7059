"""The health file of a worker: what a scheduler's probe reads. docs/queue.md has its keys and probes for it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vector.errors import ConfigurationError
from vector.files import write_whole

logger = logging.getLogger(__name__)


class HealthFile:
    """A JSON file that is replaced as a whole, so that no reader sees half of it. Without a path nothing is written.

    When the first write fails, ConfigurationError is raised: the path is wrong. A later one that fails is a warning in
    the log, once until one does well again.
    """

    def __init__(self, path: str | Path | None, **always: Any):
        self._path = None if path is None else Path(path)
        self._always = always
        self._written = self._failing = False

    def write(self, state: str, **values: Any) -> None:
        """Writes the state of the worker and the time."""
        if self._path is None:
            return
        content: Mapping[str, Any] = {
            "time_utc": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "state": state,
            "pid": os.getpid(),
            **self._always,
            **values,
        }
        try:
            # Escapes, not bytes: a server's words are in it, and people print the file. Probes of other users read it.
            write_whole(self._path, json.dumps(content).encode("ascii") + b"\n", new_mode=0o666, wait=False)
            self._written, self._failing = True, False
        except OSError as error:
            problem = f"health file {self._path}: {error.strerror or error}"
            if not self._written:
                raise ConfigurationError(problem) from None
            if not self._failing:
                logger.warning("%s", problem)
            self._failing = True
