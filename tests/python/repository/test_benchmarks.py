"""Benchmarks are run by hand: what they import must be there all the same."""

import subprocess
import sys

import pytest
from support import PROJECT_DIR

FOLDER = PROJECT_DIR / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name != "support.py")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.long
def test_a_benchmark_starts(script):
    told = subprocess.run([sys.executable, script, "--help"], cwd=FOLDER, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "usage:" in told.stdout


def test_the_readme_names_each_benchmark():
    readme = (FOLDER / "README.md").read_text()
    assert [script for script in SCRIPTS if f"    python benchmarks/{script} " not in readme] == []
    assert [script for script in SCRIPTS if f"| `{script}` |" not in readme] == []
