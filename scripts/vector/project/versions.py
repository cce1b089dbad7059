"""Whether the dbt package and the Python package are of one version: each counts on what the other has."""

from __future__ import annotations

from pathlib import Path

from vector import __version__
from vector.errors import ConfigurationError
from vector.project.variables import runtime_package


def package_version(project_dir: Path) -> str | None:
    """The version of the dbt package, of the project itself or among its packages; None where it is not there, as on a
    host that only runs commands. Raises ConfigurationError when a file cannot be read."""
    package = runtime_package(project_dir)
    return None if package is None else str(package[1].get("version"))


def refuse_other_version(project_dir: Path) -> None:
    """Raises ConfigurationError where the two packages are of different versions."""
    found = package_version(project_dir)
    if found not in (None, __version__):
        raise ConfigurationError(
            f"the dbt package vector_runtime is of version {found}, the Python package vector-runtime of {__version__}:"
            f" set `revision: v{__version__}` in packages.yml and run `dbt deps`, or `pip install"
            f" vector-runtime=={found}`"
        )
