"""What users install: the wheel and the sdist, built here, hold all that is needed; and the wheel works by itself, in
an environment that does not see this checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from support import PROJECT_DIR, clean_copy

from vector import __version__

BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
# What is no code of the package: what it reads while it runs, and what tells checkers of its types.
DATA = {
    path.relative_to(PROJECT_DIR / "scripts").as_posix()
    for path in (PROJECT_DIR / "scripts" / "vector").rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc")
}


def run(*command, **options):
    done = subprocess.run([str(each) for each in command], capture_output=True, encoding="utf-8", **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, of a copy of the checkout; and the wheel, of what the sdist holds."""
    folder = tmp_path_factory.mktemp("built")
    copy, out = folder / "checkout", folder / "dist"
    out.mkdir()
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT_DIR / name, copy)
    left_out = shutil.ignore_patterns("*.egg-info", "__pycache__")
    shutil.copytree(PROJECT_DIR / "scripts", copy / "scripts", ignore=left_out)
    run(sys.executable, "-c", BUILD, "build_sdist", out, cwd=copy)
    (sdist,) = out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    run(sys.executable, "-c", BUILD, "build_wheel", out, cwd=unpacked)
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def test_the_wheel_of_the_sdist_holds_all_and_nothing_else(built):
    sdist, wheel = built
    assert (sdist.name, wheel.name) == (
        f"vector_runtime-{__version__}.tar.gz",
        f"vector_runtime-{__version__}-py3-none-any.whl",
    )
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        metadata = archive.read(f"vector_runtime-{__version__}.dist-info/METADATA").decode("utf-8")
    modules = {
        path.relative_to(PROJECT_DIR / "scripts").as_posix()
        for path in (PROJECT_DIR / "scripts" / "vector").rglob("*.py")
    }
    assert {"vector/py.typed", "vector/report/templates/report.html.j2"} <= DATA
    package = {name for name in held if ".dist-info/" not in name}
    assert package == modules | DATA
    assert f"vector_runtime-{__version__}.dist-info/licenses/LICENSE" in held
    for line in ("License-Expression: Apache-2.0", "Requires-Python: >=3.11", f"Version: {__version__}"):
        assert line in metadata


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The `vector` of an environment of its own that has the wheel, and sees what is installed here; this project, an
    editable install of it, it does not."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    venv.create(folder, with_pip=False)
    purelib = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    others = Path(sysconfig.get_path("purelib"))
    (purelib / "others.pth").write_text(f"{others}\n", encoding="utf-8")
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / Path(sys.executable).name
    if not python.exists():
        python = binaries / ("python.exe" if os.name == "nt" else "python")
    offline = ["--no-deps", "--no-index", "--no-warn-script-location", "-q"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *offline, built[1], env=clean_copy(os.environ))
    return python, binaries / ("vector.exe" if os.name == "nt" else "vector")


@pytest.mark.long
def test_the_wheel_works_in_a_project_without_this_repository(installed, project, tmp_path):
    python, vector = installed
    environment = {**clean_copy(os.environ), "VECTOR_CACHE_DIR": ""}
    environment.pop("PYTHONPATH", None)
    where = run(python, "-c", "import vector; print(vector.__file__)", cwd=tmp_path, env=environment)
    assert Path(where.strip()).is_relative_to(python.parent.parent), "not the checkout's"
    assert run(vector, "--version", cwd=tmp_path, env=environment).strip() == __version__
    assert "search" in run(vector, "--help", cwd=tmp_path, env=environment)

    consumer = tmp_path / "a shop"
    consumer.mkdir()
    shutil.copy(project.database_path, consumer / "warehouse.duckdb")
    profile = {"outputs": {"dev": {"type": "duckdb", "path": "warehouse.duckdb", "schema": "vector"}}, "target": "dev"}
    (consumer / "profiles.yml").write_text(yaml.safe_dump({"shop": profile}), encoding="utf-8")
    (consumer / "dbt_project.yml").write_text("name: shop\nprofile: shop\n", encoding="utf-8")
    found = run(vector, "search", "Which moon has geysers?", "--no-log", cwd=consumer, env=environment)
    assert "chunks compared by vectors and words" in found
    assert "nothing found" not in found
    run(vector, "report", "--out", "report.html", cwd=consumer, env=environment)
    page = (consumer / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>"), "of the templates in the wheel"
    assert sorted(path.name for path in consumer.iterdir() if not path.name.startswith("warehouse")) == [
        "dbt_project.yml", "profiles.yml", "report.html",
    ]  # fmt: skip


def test_both_packages_have_one_version():
    project = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8"))
    assert str(project["version"]) == __version__
