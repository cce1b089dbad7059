"""What is made once in a run of the tests, however many processes it has."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vector.files import locked


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is made by one of the processes of this run; the others wait for it, and only read it."""
    runs = factory.getbasetemp()
    folder = (runs.parent if "PYTEST_XDIST_WORKER" in os.environ else runs) / name
    done = folder.with_name(f"{name}.done")
    while True:
        with locked(folder.with_name(f"{name}.lock")) as holder:
            if holder is None:
                if not done.exists():
                    make(folder)
                    done.touch()
                return folder
        time.sleep(0.1)
