"""The variables of dbt_project.yml, for what Python has to know of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vector.errors import ConfigurationError
from vector.project.profile import read_yaml


def project_var(project_dir: Path, name: str, default: Any = None) -> Any:
    """A variable as dbt's `var` gives it to the models of the project: the value under the project's own name in `vars`
    comes before the one at the top. What dbt is given by `--vars` is not in the file, and not known here.

    Raises ConfigurationError when the file cannot be read, or its `vars` are not keys and values.
    """
    path = project_dir / "dbt_project.yml"
    project = read_yaml(path)
    package = project.get("name")
    everywhere = _variables(project.get("vars"), f"vars in {path}")
    own = _variables(everywhere.get(package), f"{package} under vars in {path}")
    return {**everywhere, **own}.get(name, default)


def _variables(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} is not a set of keys and values")
    return value
