"""Rerankers: functions of the user's that score texts against a question. An error in one names it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from vector.errors import ConfigurationError
from vector.project.variables import load_variables

GROUP = "vector.rerankers"

Reranker = Callable[[str, Sequence[str]], Any]


# The dbt variable that lists the `module:function` which a logged search may name.
DBT_VAR = "rerankers"


def is_entry_point(name: str) -> bool:
    """Whether a package that is installed offers a reranker of this name."""
    return any(entry.name == name for entry in entry_points(group=GROUP))


def listed_rerankers(project_dir: Path) -> frozenset[str]:
    """The rerankers that the dbt variable `rerankers` lists. Raises ConfigurationError when it is no list of texts."""
    found = load_variables(project_dir).get(DBT_VAR, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        where = f"{DBT_VAR} in {project_dir / 'dbt_project.yml'}"
        raise ConfigurationError(f"{where} is {found!r}; make it a list of module:function")
    return frozenset(found)


def load_reranker(name: str) -> Reranker:
    """The function of a name: an entry point of the group `vector.rerankers`, or `module:function`.

    Raises ConfigurationError, which lists the known ones, when the name is unknown, or it cannot be imported.
    """
    try:
        found = _loader(name)()
    except ConfigurationError:
        raise
    except ModuleNotFoundError as error:
        where = "; is its folder on PYTHONPATH?" if error.name == name.partition(":")[0] else ""
        raise ConfigurationError(f"reranker {name!r}: {error}{where}") from error
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise _failed(name, "cannot be loaded", error) from error
    if not callable(found):
        raise ConfigurationError(f"reranker {name!r} is no function")
    return found


def _loader(name: str) -> Callable[[], Any]:
    entries = entry_points(group=GROUP)
    for entry in entries:
        if entry.name == name:
            return entry.load
    module, _, function = name.partition(":")
    if not (module and function):
        known = ", ".join(sorted(entry.name for entry in entries)) or "none is installed"
        raise ConfigurationError(f"reranker {name!r}: give module:function, or an entry point of {GROUP} ({known})")
    return lambda: getattr(import_module(module), function)


def reranked(reranker: Reranker, name: str, query: str, texts: Sequence[str]) -> list[float]:
    """The reranker's scores of the texts, higher for the better. It may answer with any sequence of numbers, or an
    array of shape (texts,) or (texts, 1), as cross-encoders give.

    Raises ConfigurationError when it fails, and unless it gives one finite number a text.
    """
    try:
        scores = np.asarray(list(reranker(query, list(texts))), dtype=np.float64)
    except (Exception, SystemExit) as error:  # it is the user's, and may do anything; so may what it gives
        raise _failed(name, "failed", error) from error
    if scores.shape == (len(texts), 1):
        scores = scores[:, 0]
    if scores.shape != (len(texts),) or not np.isfinite(scores).all():
        given = f"{len(scores)} scores" if scores.ndim == 1 else f"an array of shape {scores.shape}"
        raise ConfigurationError(
            f"reranker {name!r} answered {len(texts)} texts with {given}, {int(np.isfinite(scores).sum())} of them"
            " finite; it must give one finite number a text"
        )
    return scores.tolist()


def _failed(name: str, what: str, error: BaseException) -> ConfigurationError:
    message = str(error).partition("\n")[0]
    told = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return ConfigurationError(f"reranker {name!r} {what}: {told} (VECTOR_DEBUG=1 shows where)")
