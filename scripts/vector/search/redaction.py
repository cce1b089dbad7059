"""Whether questions are logged as they were asked, or only as a hash."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vector.errors import ConfigurationError
from vector.project.profile import find_project_dir
from vector.project.relations import PACKAGE
from vector.project.variables import load_variables

logger = logging.getLogger(__name__)

VARIABLE = "VECTOR_REDACT_QUERIES"
DBT_VAR = "redact_queries"

_WORDS = {"0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def redaction_is_set(project_dir: Path | None = None, given: Mapping[str, Any] | None = None) -> bool:
    """Whether the environment variable VECTOR_REDACT_QUERIES or the dbt variable `redact_queries` of the project asks
    for redaction; either does. `given` is what `--vars` gives. Without a `project_dir` the project is looked for as dbt
    does. Where neither can say, as there is no project or its package of this runtime is not installed, questions are
    redacted, and a log line says why; VECTOR_REDACT_QUERIES=false says that they need not be.

    Raises ConfigurationError on a value that is neither true nor false, and on a project that cannot be read.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if asked and _is_true(asked, VARIABLE):
        return True
    try:
        folder = project_dir or find_project_dir()
    except ConfigurationError as error:
        return _unless(asked, str(error))
    variables = load_variables(folder, given)
    if DBT_VAR in variables.values:
        return _is_true(variables.get(DBT_VAR), f"{DBT_VAR} in {folder / 'dbt_project.yml'}")
    if variables.complete:
        return False
    return _unless(asked, f"{folder} has no package {PACKAGE} whose vars could be read: run `dbt deps`")


def _unless(asked: str, reason: str) -> bool:
    if not asked:
        logger.warning("questions are logged as hashes only: %s, or set %s", reason, VARIABLE)
    return not asked


def _is_true(value: object, name: str) -> bool:
    word = str(value).strip().lower()
    if word not in _WORDS:
        raise ConfigurationError(f"{name} is {value!r}; it must be true or false")
    return _WORDS[word]
