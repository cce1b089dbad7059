"""The examples of orchestrators do what they say: cron with a stand-in of the command, Dagster with dbt itself."""

import os
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support import PROJECT_DIR, clean_copy

EXAMPLES = PROJECT_DIR / "examples"
# The Python of an environment with dagster, dagster-dbt and vector-runtime[duckdb]; none of them is in requirements/.
DAGSTER_PYTHON = os.environ.get("VECTOR_TEST_DAGSTER_PYTHON", sys.executable)


@pytest.mark.skipif(os.name == "nt", reason="a script of sh")
@pytest.mark.parametrize(("code", "mails"), [(0, False), (1, False), (2, True), (5, True), (143, True)])
def test_cron_mails_what_needs_an_operator(tmp_path, code, mails):
    command = tmp_path / "a project" / ".venv" / "bin" / "vector"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\necho "$@"\necho "error: so it is" >&2\nexit {code}\n')
    command.chmod(0o755)
    (line,) = re.findall(r"^0 \* \* \* \*  (.*)$", (EXAMPLES / "cron" / "crontab").read_text(), re.MULTILINE)
    script, project, log = line.split()
    assert script.removeprefix(f"{project}/") == "examples/cron/refresh.sh"
    words = [str(PROJECT_DIR / "examples/cron/refresh.sh"), str(tmp_path / "a project"), str(tmp_path / Path(log).name)]
    for _ in range(2):
        done = subprocess.run(words, capture_output=True, encoding="utf-8")
    assert done.returncode == code
    assert ("error: so it is" in done.stdout, bool(done.stdout)) == (mails, mails)
    text = (tmp_path / Path(log).name).read_text()
    assert text.count(f"exit code {code}\nrefresh --quiet --wait 600\nerror: so it is\n") == 2


def test_the_dagster_example_compiles(tmp_path):
    py_compile.compile(str(EXAMPLES / "dagster" / "definitions.py"), str(tmp_path / "definitions.pyc"), doraise=True)


def test_the_dagster_example_fills_a_warehouse(request, tmp_path):
    found = subprocess.run([DAGSTER_PYTHON, "-c", "import dagster, dagster_dbt"], capture_output=True)
    if found.returncode:
        pytest.skip(
            "dagster and dagster-dbt are not installed; VECTOR_TEST_DAGSTER_PYTHON may name a Python that has them"
        )
    project = request.getfixturevalue("project")
    folder = project.beside(tmp_path / "project").folder
    shutil.copy(PROJECT_DIR / "selectors.yml", folder)
    with project.connect() as connection:
        ((chunks,),) = connection.execute("select count(*) from chunk").fetchall()
    (folder / "warehouse.duckdb").unlink()
    (tmp_path / "home").mkdir()
    places = [str(Path(DAGSTER_PYTHON).parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {
        **clean_copy(os.environ),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "VECTOR_PROJECT_DIR": str(folder),
        "PATH": os.pathsep.join(places),
    }
    parsed = subprocess.run(["dbt", "parse"], env=environment, cwd=folder, capture_output=True, encoding="utf-8")
    assert parsed.returncode == 0, parsed.stdout
    definitions = str(EXAMPLES / "dagster" / "definitions.py")
    done = subprocess.run(
        [DAGSTER_PYTHON, "-m", "dagster", "asset", "materialize", "--select", "*", "-f", definitions],
        env=environment, cwd=folder, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert "Asset check 'vectors_are_sound' on 'vectors' passed" in said
    assert said.count("ASSET_CHECK_EVALUATION") > 70
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        assert connection.execute("select count(*) from vector.embedding").fetchall() == [(chunks,)]
