"""The variables of the runtime, as dbt's `var` gives them to its models and macros."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vector.errors import ConfigurationError
from vector.project.profile import read_yaml, rendered
from vector.project.relations import PACKAGE


@dataclass(frozen=True)
class Variables:
    """`complete`: the runtime's own defaults are among the values. They are not where dbt has not installed it. `own`:
    the names that the project sets itself, or `--vars`."""

    values: Mapping[str, Any]
    complete: bool
    own: frozenset[str] = frozenset()

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a variable."""
        return self.values.get(name, default)


def load_variables(project_dir: Path, given: Mapping[str, Any] | None = None) -> Variables:
    """The variables of a project, as dbt-core 1.11 orders them (`dbt.context.configured.ConfiguredVar`): what `--vars`
    gives comes first; then `vars` of the project, under `vector_runtime` before those at the top; then, where the
    runtime is a package of the project, `vars` of the package, in the same order.

    Raises ConfigurationError when a file cannot be read, or `vars` are not keys and values.
    """
    path = project_dir / "dbt_project.yml"
    project = read_yaml(path)
    runtime = runtime_package(project_dir)
    if runtime is None:
        # A project without its packages: what it says for itself it may have meant for the runtime.
        own = {**_scoped(project, path, str(project.get("name")), PACKAGE), **(given or {})}
        return Variables(own, complete=False, own=frozenset(own))
    own = {**_scoped(project, path, PACKAGE), **(given or {})}
    folder, installed = runtime
    defaults = {} if folder == project_dir else _scoped(installed, folder / "dbt_project.yml", PACKAGE)
    return Variables({**defaults, **own}, complete=True, own=frozenset(own))


def runtime_package(project_dir: Path) -> tuple[Path, dict[str, Any]] | None:
    """The folder of the runtime's dbt package and its dbt_project.yml: the project itself, or the one among its
    packages; None where there is none. Raises ConfigurationError when a file cannot be read."""
    project = read_yaml(project_dir / "dbt_project.yml")
    if project.get("name") == PACKAGE:
        return project_dir, project
    where = f"packages-install-path in {project_dir / 'dbt_project.yml'}"
    folder = project_dir / str(rendered(project.get("packages-install-path"), where) or "dbt_packages")
    # dbt names the folder after the package, but for a package that somebody has put there himself.
    for path in (folder / PACKAGE / "dbt_project.yml", *sorted(folder.glob("*/dbt_project.yml"))):
        if path.is_file() and (content := read_yaml(path)).get("name") == PACKAGE:
            return path.parent, content
    return None


def _scoped(project: Mapping[str, Any], path: Path, *scopes: str) -> dict[str, Any]:
    """The variables at the top, and over them those under each scope, the last one over all."""
    everywhere = _checked(project.get("vars"), f"vars in {path}")
    found = dict(everywhere)
    for scope in scopes:
        found.update(_checked(everywhere.get(scope), f"{scope} under vars in {path}"))
    return found


def _checked(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} is not a set of keys and values")
    return value
