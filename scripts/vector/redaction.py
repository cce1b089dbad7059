"""Whether questions are logged as they were asked, or only as a hash."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from vector.contracts.models import VectorRetrieval, compute_content_hash
from vector.errors import ConfigurationError
from vector.project.variables import project_var

REDACTED = "[redacted]"
VARIABLE = "VECTOR_REDACT_QUERIES"
DBT_VAR = "redact_queries"

_WORDS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def redacted(retrieval: VectorRetrieval) -> VectorRetrieval:
    """The retrieval with the hash of its question, and neither its text nor its vector, from which a text can be
    guessed (Morris, Kuleshov, Shmatikov & Rush 2023, "Text Embeddings Reveal (Almost) As Much As Text")."""
    sha256 = compute_content_hash(retrieval.query_text)
    return replace(retrieval, query_text=REDACTED, query_sha256=sha256, query_embedding=None)


def is_redacted(retrieval: VectorRetrieval) -> bool:
    """Whether the question itself was not kept."""
    return retrieval.query_text == REDACTED and retrieval.query_embedding is None


def redaction_is_set(project_dir: Path | None = None) -> bool:
    """Whether the environment variable VECTOR_REDACT_QUERIES or the dbt variable `redact_queries` of the project asks
    for redaction. Raises ConfigurationError on a value that is neither true nor false."""
    value: object = os.environ.get(VARIABLE, "")
    if not _is_true(value, VARIABLE) and project_dir is not None:
        return _is_true(project_var(project_dir, DBT_VAR, False), f"{DBT_VAR} in {project_dir / 'dbt_project.yml'}")
    return _is_true(value, VARIABLE)


def _is_true(value: object, name: str) -> bool:
    word = str(value).strip().lower()
    if word not in _WORDS:
        raise ConfigurationError(f"{name} is {value!r}; it must be true or false")
    return _WORDS[word]
