"""What the suites of the target sqlserver share: the project compiled for it, once a run."""

import shutil
from pathlib import Path

import pytest
from once import made_once
from tsql.project import Node, compile_nodes, compiled_nodes


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project is compiled; to be read only."""
    return made_once(tmp_path_factory, "t_sql", compile_nodes)


@pytest.fixture(scope="session")
def nodes(compiled: Path) -> dict[str, Node]:
    """The project's models and data tests in T-SQL."""
    return compiled_nodes(compiled)


@pytest.fixture(scope="module")
def parsed_folder(compiled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run dbt in, which has parsed the project there."""
    folder = tmp_path_factory.mktemp("t_sql")
    (folder / "target").mkdir()
    shutil.copy(compiled / "target" / "partial_parse.msgpack", folder / "target")
    return folder
