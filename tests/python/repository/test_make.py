"""make, run in a project whose path has blanks, deletes nothing beside it. The tools that it starts are stand-ins which
note their arguments and environment; a real run takes minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import PROJECT_DIR, clean_copy, posix_only

pytestmark = posix_only

TOOL = """#!/bin/sh
echo "$0 $*" >> calls.log
env | grep -E '^(DBT_|VECTOR_)' >> calls.log
for each in "$DBT_TARGET_PATH" "$DBT_LOG_PATH"; do test -z "$each" || mkdir -p "$each"; done
case "$VECTOR_DUCKDB_PATH" in ?*) : > "$VECTOR_DUCKDB_PATH";; esac
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """The project's make in a folder with blanks; beside it a folder of the name that ends at the first blank."""
    project = tmp_path / "Work Projects (ü)"
    for name in ("scripts", "tests"):
        (project / name).mkdir(parents=True)
    (tmp_path / "Work").mkdir()
    (tmp_path / "Work" / "keep.txt").write_text("mine")
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".ci").mkdir()
    for name in ("Makefile", "profiles.example.yml", "pyproject.toml", ".ci/run", ".ci/live"):
        shutil.copy(PROJECT_DIR / name, project / name)
    shutil.copytree(PROJECT_DIR / "requirements", project / "requirements")
    shutil.copytree(project / ".venv", project / ".venv-v2")
    for venv, tools in (
        (".venv", "python dbt vector ruff mypy lint-imports sqlfluff"),
        (".venv-v2", "dbt-core-experimental-parser"),
    ):
        for tool in tools.split():
            path = project / venv / "bin" / tool
            path.write_text(TOOL)
            path.chmod(0o755)
    for stamp in (".venv/.installed-demo", ".venv/.installed-test", ".venv-v2/.installed"):
        (project / stamp).touch()
    return project


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    # `make test VENV=...`, which may run this test, gives its variables to what it starts.
    environment = {
        name: value
        for name, value in clean_copy(os.environ).items()
        if not name.startswith("MAKE") and name not in ("VENV", "V2_VENV", "LOCK_VENV")
    }
    return subprocess.run(["make", *arguments], cwd=folder, env=environment, capture_output=True, encoding="utf-8")


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir()) + (folder.parent / "Work/keep.txt").read_text().split()


@pytest.mark.parametrize("goal", ["scratch", "test-lint", "test-parse", "test-dbt", "test-python", "demo", "format"])
def test_a_path_with_blanks_is_one_path(folder, goal):
    before = kept(folder)
    done = make(folder, goal)
    assert done.returncode == 0, done.stdout + done.stderr
    assert kept(folder) == before, "nothing is made or deleted beside the project"
    if goal not in ("scratch", "demo"):
        calls = (folder / "calls.log").read_text(encoding="utf-8").splitlines()
        scratch = f"{folder}/target/test"
        assert f"DBT_PROFILES_DIR={scratch}/profiles" in calls
        assert f"VECTOR_DUCKDB_PATH={scratch}/warehouse.duckdb" in calls
        assert {path.name for path in (folder / "target/test").iterdir()} >= {"profiles", "dbt", "logs"}


def test_clean_deletes_what_is_the_projects(folder):
    make(folder, "scratch")
    assert make(folder, "clean").returncode == 0
    assert not (folder / "target").exists()
    assert not (folder / ".venv").exists()
    assert (folder / "Makefile").exists()
    assert kept(folder)[-1] == "mine"


@pytest.mark.parametrize(
    "value",
    [
        "", " ", ".", "./", "..", "../Work", "target/../..", "a/../../Work", "a b", "/tmp", "~", "*", "-rf", "[.]venv",
        "a;touch made", "a&touch made", "a|touch made", "$$(touch made)", "`touch made`", "'a", '"a', "a\\",
        "{a,.venv}", "a>made", "a\n.venv",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("goal", "name"), [("scratch", "SCRATCH"), ("clean", "VENV"), ("clean", "V2_VENV")])
def test_what_is_no_folder_below_the_project_is_not_deleted(folder, goal, name, value):
    done = make(folder, goal, f"{name}={value}")
    assert done.returncode != 0
    assert f"{name} is '" in done.stderr
    assert (folder / "Makefile").exists()
    assert (folder / ".venv").exists()
    assert not (folder / "made").exists()
    assert kept(folder)[-1] == "mine"


@pytest.mark.parametrize(
    ("goal", "name", "value"), [("scratch", "SCRATCH", "target/test"), ("clean", "VENV", "target/test")]
)
def test_a_link_that_leads_out_of_the_project_is_not_followed(folder, goal, name, value):
    others = folder.parent / "Work" / "test"
    others.mkdir()
    (folder / "target").symlink_to(others.parent)
    done = make(folder, goal, f"{name}={value}")
    assert done.returncode != 0
    assert f"{name} is '{value}': a link on its way leads out of the project" in done.stderr
    assert others.is_dir()
    assert kept(folder)[-1] == "mine"


def test_of_a_link_only_the_link_is_removed(folder):
    (folder / "target").symlink_to(folder.parent / "Work")
    shutil.rmtree(folder / ".venv")
    (folder / ".venv").symlink_to(folder.parent / "Work")
    assert make(folder, "clean").returncode == 0
    assert not (folder / "target").is_symlink()
    assert not (folder / ".venv").is_symlink()
    assert kept(folder)[-1] == "mine"


@pytest.mark.parametrize("value", ["", "/usr/my venv"])
def test_an_environment_whose_path_make_cannot_take_is_refused(folder, value):
    done = make(folder, "-n", "test-lint", f"VENV={value}")
    assert done.returncode != 0
    assert "give a path without blanks" in done.stderr


def test_ci_works_in_a_folder_with_blanks(folder):
    """With a make that only notes what it is asked for."""
    tools = folder / "tools"
    tools.mkdir()
    (tools / "make").write_text(
        '#!/bin/sh\necho "$@" >> made.log\nfor each in "$@"; do echo "[$each]" >> made.log; done\n'
    )
    (tools / "make").chmod(0o755)
    temporary = folder / "temporary files"
    temporary.mkdir()
    # A folder of CDPATH that has a .ci too.
    (folder.parent / "Work" / ".ci").mkdir()
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(temporary)}
    environment["CDPATH"] = str(folder.parent / "Work")
    done = subprocess.run(["bash", ".ci/run"], cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    asked = (folder / "made.log").read_text().splitlines()
    assert [line for line in asked if line.startswith("[test")] == ["[test]", "[test-long]"]
    (venv,) = {line for line in asked if line.startswith("[VENV=")}  # the tests share one
    assert " " not in venv
    assert list((folder / "target").iterdir()) == []
    assert kept(folder)[-1] == "mine"
