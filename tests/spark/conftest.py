"""What the tests of Spark share: one warehouse that dbt has built there, and why they are skipped where Spark is not.

They run in a Python that has the extra `spark` and those of `test` (`make test-spark`)."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from own_fixtures import own  # noqa: F401
from support import PROJECT_DIR, clean_copy

_JAR = "snowpark_connect_deps_iceberg/jars/iceberg-spark-runtime-3.5_2.12-*.jar"
_DRIVER = "/usr/share/java/sqlite-jdbc.jar"


@dataclass
class Lake:
    """A folder with a catalog, a warehouse, a profile and a copy of the project; `env` is what its commands find."""

    folder: Path
    env: dict[str, str] = field(repr=False)
    _process: subprocess.Popen[str] | None = None

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def dbt(self, *arguments: str) -> str:
        """Runs dbt, which must succeed, and gives its output."""
        done = self._answer({"dbt": arguments})
        assert done["success"], f"dbt {' '.join(arguments)}\n{done['output']}"
        return done["output"]

    def rows(self, tables: dict[str, str]) -> dict[str, list[list[Any]]]:
        """The rows of tables, by name; of each the columns, as SQL."""
        return self._answer({"tables": tables})

    def view(self, view: str, sql: str, rows: list[tuple], columns: str) -> None:
        """Replaces a view by a select over `{given}`, which has these rows, of these columns with their types."""
        self._answer({"view": view, "sql": sql, "rows": rows, "columns": columns})

    def _answer(self, asked: dict[str, Any]) -> Any:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("dbt_process.py"))], env=self.env, cwd=self.project,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
            )  # fmt: skip
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("ANSWER "):
                return json.loads(line.removeprefix("ANSWER "))
        raise AssertionError(f"dbt's process ended with {self._process.wait()}")

    def close(self) -> None:
        """Ends dbt's process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()

    def vector(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of `vector` in a process of its own."""
        return subprocess.run(
            [sys.executable, "-c", "import sys; from vector.cli import main; sys.exit(main())", *arguments],
            env=self.env,
            cwd=self.project,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )


def why_not() -> str | None:
    """What Spark lacks here, or None."""
    if importlib.util.find_spec("pyspark") is None or importlib.util.find_spec("dbt.adapters.spark") is None:
        return "no Spark in this Python: make test-spark installs it (docs/spark.md)"
    if not os.environ.get("JAVA_HOME") and shutil.which("java") is None:
        return "no Java here, which Spark needs (docs/spark.md)"
    if not Path(os.environ.get("VECTOR_SPARK_CATALOG_DRIVER", _DRIVER)).is_file():
        return "no driver of the catalog: set VECTOR_SPARK_CATALOG_DRIVER (docs/spark.md)"
    return None


def iceberg_jar() -> str:
    """The path of the jar that the extra `spark` brings."""
    (package,) = importlib.util.find_spec("snowpark_connect_deps_iceberg").submodule_search_locations
    (jar,) = Path(package).parent.glob(_JAR)
    return str(jar)


def make_lake(folder: Path) -> Lake:
    """An empty one, in an empty folder."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("VECTOR_SPARK_")}
    env = {
        **clean_copy(os.environ),
        **settings,
        "VECTOR_TARGET": "spark",
        "VECTOR_SPARK_MASTER": settings.get("VECTOR_SPARK_MASTER", "local[2]"),
        "VECTOR_SPARK_FOLDER": str(folder / "lake"),
        "VECTOR_SPARK_ICEBERG": settings.get("VECTOR_SPARK_ICEBERG") or iceberg_jar(),
        "VECTOR_CACHE_DIR": "",
        "PYTHONPATH": str(PROJECT_DIR / "scripts"),
        "DBT_PROFILES_DIR": str(folder / "project"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    (folder / "lake").mkdir(parents=True)
    folders = "alarms generic invariants on_request fixtures".split()
    for name in ("macros", "models", "seeds", *(f"tests/{each}" for each in folders)):
        shutil.copytree(PROJECT_DIR / name, folder / "project" / name)
    for name in ("dbt_project.yml", "selectors.yml"):
        shutil.copy(PROJECT_DIR / name, folder / "project")
    shutil.copy(PROJECT_DIR / "profiles.example.yml", folder / "project" / "profiles.yml")
    return Lake(folder, env)


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """An empty lake with the project beside it."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = make_lake(tmp_path_factory.mktemp("spark"))
    yield made
    made.close()
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def built(lake: Lake) -> Lake:
    """The lake after `dbt build` of the demo's seeds and models, without tests. What a test adds, it takes away."""
    lake.dbt("build", "--exclude-resource-type", "test", "unit_test")
    return lake
