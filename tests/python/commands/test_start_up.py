"""What a command imports before it works: `vector --help` needs none of the libraries."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support import PROJECT_DIR, ScratchProject, clean_copy

from vector.cli import COMMANDS

HEAVY = ("numpy", "duckdb", "pyarrow", "jinja2", "jsonschema", "yaml", "requests", "tqdm", "dbt", "bm25s", "asyncio")
# A search compares with numpy, and logs through pyarrow.
NOT_OF_A_SEARCH = (
    "dbt", "agate", "jinja2", "jsonschema", "requests", "urllib3", "tqdm", "bm25s", "scipy", "asyncio",
    "multiprocessing",
)  # fmt: skip
NOT_OF_A_READER = (*NOT_OF_A_SEARCH, "numpy", "pyarrow", "Stemmer", "onnxruntime")


def vector(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own; stderr ends with the names of the modules it has imported."""
    code = (
        "import atexit, sys; from vector.cli import main;"
        " atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**clean_copy(os.environ), **environment},
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"], []])
def test_what_needs_no_library_imports_none(arguments):
    done = vector(*arguments)
    imported = done.stderr.splitlines()[-1].split()
    assert "vector.errors" in imported
    assert [name for name in HEAVY if name in imported] == []


@pytest.mark.long
def test_the_list_of_commands_says_what_each_says_of_itself():
    listed = vector("--help").stdout
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in listed
        told = vector(name, "--help").stdout
        assert told.startswith(f"usage: vector {name} ")
        if name != "jobs":
            assert " ".join(f"{summary[0].upper()}{summary[1:]}.".split()) in " ".join(told.split())


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        (["search", "geysers", "--mode", "lexical"], NOT_OF_A_SEARCH),
        (["search", "geysers", "--mode", "hybrid"], NOT_OF_A_SEARCH),
        (["coverage"], NOT_OF_A_READER),
    ],
)
def test_a_command_imports_what_it_needs(project: ScratchProject, command, unneeded):
    """The profile is the example's, with an environment variable in it as most have."""
    assert "{{ env_var('VECTOR_DUCKDB_PATH'" in (PROJECT_DIR / "profiles.example.yml").read_text()
    where = ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder / "example")]
    (project.folder / "example").mkdir(exist_ok=True)
    (project.folder / "example" / "profiles.yml").write_text((PROJECT_DIR / "profiles.example.yml").read_text())
    done = vector(*command, *where, VECTOR_DUCKDB_PATH=str(project.database_path))
    assert done.returncode == 0, done.stderr
    imported = done.stderr.splitlines()[-1].split()
    assert "duckdb" in imported
    assert [name for name in unneeded if name in imported] == []
