"""What a command imports before it works: `vector --help` needs none of the libraries."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support import clean_copy

from vector.cli import COMMANDS

HEAVY = ("numpy", "duckdb", "pyarrow", "jinja2", "jsonschema", "yaml", "requests", "tqdm", "dbt", "bm25s", "asyncio")


def vector(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own; stderr ends with the names of the modules it has imported."""
    code = (
        "import atexit, sys; from vector.cli import main;"
        " atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        encoding="utf-8",
        env=clean_copy(os.environ),
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"], []])
def test_what_needs_no_library_imports_none(arguments):
    done = vector(*arguments)
    imported = done.stderr.splitlines()[-1].split()
    assert "vector.errors" in imported
    assert [name for name in HEAVY if name in imported] == []


def test_the_list_of_commands_says_what_each_says_of_itself():
    listed = vector("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in listed
        told = vector(name, "--help").stdout
        assert told.startswith(f"usage: vector {name} ")
        if name != "jobs":
            assert " ".join(f"{summary[0].upper()}{summary[1:]}.".split()) in " ".join(told.split())
