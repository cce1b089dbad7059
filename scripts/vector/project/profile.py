"""The database that dbt would connect to: dbt's own profile and target, read by dbt-core 1.11's rules.

dbt is not imported: it takes seconds to start, and dbt v2 has no Python API. What is read is what dbt reads:

- project folder: the argument, DBT_PROJECT_DIR, else the working directory or its nearest parent with a
  dbt_project.yml;
- profile: DBT_PROFILE, else `profile` in dbt_project.yml;
- profiles folder: the argument, DBT_PROFILES_DIR, else the working directory if it has a profiles.yml, else ~/.dbt;
  and, where dbt would find nothing, the project folder;
- target: the argument, DBT_TARGET, the profile's `target`, else "default".

Each DBT_X may also be written DBT_ENGINE_X, which comes first. Only the chosen output is rendered, so an unset
variable of another target does no harm.
"""

from __future__ import annotations

import os
import pickle
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from vector.errors import ConfigurationError

SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is faster, and not everywhere


@dataclass(frozen=True)
class Target:
    """One output of a dbt profile. `settings` is the whole output, rendered, under the keys that the file uses;
    it may hold a password and is left out of the repr. A relative path in it means what it means to dbt: relative to
    the working directory, not to `project_dir`."""

    profile: str
    name: str
    type: str
    schema: str
    settings: dict[str, Any] = field(repr=False)
    project_dir: Path


def load_target(
    project_dir: str | Path | None = None, profiles_dir: str | Path | None = None, target: str | None = None
) -> Target:
    """The target that dbt would use, given the same `--project-dir`, `--profiles-dir` and `--target`.

    Raises ConfigurationError, of one line and without any setting's value, naming the file and what to do.
    """
    project = find_project_dir(project_dir)
    profile_name = _profile_name(project / "dbt_project.yml")
    path = find_profiles_dir(project, profiles_dir) / "profiles.yml"
    if not path.is_file():
        raise ConfigurationError(
            f"no profiles.yml in {path.parent}: copy profiles.example.yml to profiles.yml, or give --profiles-dir"
        )
    profile = _profile(path, profile_name)
    outputs = profile.get("outputs")
    if not isinstance(outputs, dict) or not outputs:
        raise ConfigurationError(f"profile {profile_name!r} in {path} has no outputs")
    name = (
        target
        or environment_option("TARGET")
        or rendered(profile.get("target", "default"), f"target of profile {profile_name!r}")
    )
    if not isinstance(name, str) or name not in outputs:
        raise ConfigurationError(
            f"profile {profile_name!r} in {path} has no target {name!r}; it has {', '.join(sorted(map(str, outputs)))}"
        )
    where = f"target {name!r} of profile {profile_name!r} in {path}"
    if not isinstance(outputs[name], dict):
        raise ConfigurationError(f"{where} is not a set of keys and values")
    settings = rendered(outputs[name], where)
    for key in ("type", "schema"):
        if not isinstance(settings.get(key), str) or not settings[key]:
            raise ConfigurationError(f"{where} has no {key}: add `{key}: {'duckdb' if key == 'type' else 'vector'}`")
    return Target(profile_name, name, settings["type"], settings["schema"], settings, project)


def find_project_dir(project_dir: str | Path | None = None) -> Path:
    """The dbt project's folder, absolute. Raises ConfigurationError when it has no dbt_project.yml."""
    given = project_dir or environment_option("PROJECT_DIR")
    if given:
        folder = Path(os.path.abspath(given))
        if not (folder / "dbt_project.yml").is_file():
            raise ConfigurationError(f"no dbt_project.yml in {folder}: is it a dbt project?")
        return folder
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dbt_project.yml").exists():
            return folder
    raise ConfigurationError(f"no dbt_project.yml in {here} or above: go to the project, or give --project-dir")


def find_profiles_dir(project_dir: Path, profiles_dir: str | Path | None = None) -> Path:
    """The folder where profiles.yml is, or should be."""
    given = profiles_dir or environment_option("PROFILES_DIR")
    if given:
        return Path(os.path.abspath(given))
    # dbt itself ends with ~/.dbt. The project comes after it, so that the two never read different files.
    for folder in (Path.cwd(), *_dbt_homes(), project_dir):
        if (folder / "profiles.yml").exists():
            return folder
    return project_dir


def _dbt_homes() -> list[Path]:
    """~/.dbt; nothing for a user without a home, in some containers."""
    with suppress(RuntimeError):
        return [Path.home() / ".dbt"]
    return []


def _profile_name(path: Path) -> str:
    name = environment_option("PROFILE") or rendered(read_yaml(path).get("profile"), f"profile in {path}")
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"{path} names no profile: add a line such as `profile: vector`")
    return name


def _profile(path: Path, name: str) -> dict[str, Any]:
    profiles = read_yaml(path)
    if name not in profiles:
        known = ", ".join(sorted(str(key) for key in profiles if key != "config")) or "none"
        raise ConfigurationError(f"{path} has no profile {name!r}; it has {known}: add it, or give --profiles-dir")
    if not isinstance(profiles[name], dict):
        raise ConfigurationError(f"profile {name!r} in {path} is empty")
    return profiles[name]


def environment_option(option: str) -> str | None:
    """What the environment says of an option of dbt."""
    return os.environ.get(f"DBT_ENGINE_{option}") or os.environ.get(f"DBT_{option}") or None


# Who asks question after question reads the same files again and again, and to parse one takes as long as a search.
# Pickled, as each caller has a copy of his own, and copy.deepcopy takes ten times as long.
@lru_cache(maxsize=8)
def _parsed(text: str) -> bytes:
    return pickle.dumps(yaml.load(text, Loader=SafeLoader))


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of one of dbt's files. Raises ConfigurationError, which quotes no value of it."""
    try:
        content = pickle.loads(_parsed(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # A quoted alias, anchor or tag may be a piece of an unquoted password.
        problem = re.sub(r"'\S{2,}'", "'...'", getattr(error, "problem", None) or "unreadable character")
        raise ConfigurationError(f"{path} is not valid YAML{line}: {problem}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} is empty" if content is None else f"{path} is not a set of keys and values")
    return content


# Rendering. A value stays a text unless a filter says otherwise, as in dbt: '"5432"' and "{{ env_var('PORT') }}" are
# texts, "{{ env_var('PORT') | as_number }}" is a number. What most profiles have of Jinja is read here: to import Jinja
# takes longer than all else that is done with a profile.

# An environment variable, with or without a default, in quotes and with nothing that Jinja would read in its own way.
_TEXT = r"""(?:'([^'\\{}\r\n]*)'|"([^"\\{}\r\n]*)")"""
_ENV_VAR = re.compile(r"\{\{ *env_var\( *" + _TEXT + r" *(?:, *" + _TEXT + r" *)?\) *\}\}")
_JINJA = re.compile(r"[{}\r]|\n\Z")


class MissingVariable(Exception):
    """An environment variable that is not set, and has no default."""


def env_var(name: str, default: Any = None) -> Any:
    """dbt's function of this name. Raises MissingVariable."""
    value = os.environ.get(name)
    if value is not None and not name.startswith("DBT_ENV_PRIVATE"):  # dbt hides those from every template
        return value
    if default is None:
        raise MissingVariable(name)
    return default


def rendered(value: Any, where: str, key: str = "") -> Any:
    """A YAML value with every text in it rendered by dbt's rules for profiles, keys excepted. Raises
    ConfigurationError, which quotes no value."""
    if isinstance(value, dict):
        return {name: rendered(item, where, f"{key}.{name}" if key else str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [rendered(item, where, key) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    place = f"{where}, key {key!r}" if key else where
    try:
        if not _JINJA.search(_ENV_VAR.sub("", value)):
            return _ENV_VAR.sub(_looked_up, value)
        from vector.project.templates import Unconvertible, render
    except MissingVariable as error:
        raise _missing(error, place) from None
    try:
        return render(value, env_var)
    except MissingVariable as error:
        raise _missing(error, place) from None
    except Unconvertible as error:
        raise ConfigurationError(f"{place} is not a {error}") from None
    except Exception as error:
        if "password" in key.split("."):
            return value  # as in dbt: a password may look like a template without being one
        # Jinja's other messages may quote the value, and that may be a secret.
        known = type(error).__name__ == "UndefinedError" and str(error).endswith("is undefined")
        reason = f"{error}, only env_var is" if known else type(error).__name__
        raise ConfigurationError(f"{place} cannot be rendered: {reason}") from None


def _looked_up(match: re.Match[str]) -> str:
    single, double, default, other_default = match.groups()
    name = single if double is None else double
    return str(env_var(name, other_default if default is None else default))


def _missing(error: MissingVariable, place: str) -> ConfigurationError:
    return ConfigurationError(f"environment variable {error} is not set; {place} needs it")
