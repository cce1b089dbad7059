"""Validation of a job's `input_json` by a JSON Schema (draft 2020-12), with errors that say what to do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from vector.contracts.identity import require_storable_text
from vector.errors import InvalidRecord

SOURCE_TYPES = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 100}, "uniqueItems": True}
SPACE_KEY = {
    "type": "string",
    "minLength": 1,
    "maxLength": 200,
    "description": "the space_key of an embedding space, as `vector spaces` lists it",
}


def checked_input(input_json: Any, schema: Mapping[str, Any], job_type: str) -> dict[str, Any]:
    """A copy of the input with the schema's defaults for the keys that it lacks.

    Raises InvalidRecord that names the key, what is wrong with it, and, by the `description` that the schema has of
    it, what to give instead.
    """
    error = best_match(Draft202012Validator(schema).iter_errors(input_json))
    if error:
        raise InvalidRecord(_explained(error, job_type))
    checked = copy.deepcopy(dict(input_json))
    for name, of_key in schema["properties"].items():
        # To JSON, 5.0 is an integer.
        if isinstance(checked.get(name), float) and "integer" in of_key.get("type", ()):
            checked[name] = int(checked[name])
        if "default" in of_key:
            checked.setdefault(name, copy.deepcopy(of_key["default"]))
    return checked


def require_storable(values: Mapping[str, Any], job_type: str) -> None:
    """Raises InvalidRecord when a text among the values, which are to be stored, holds a NUL or a lone surrogate."""
    for name, value in values.items():
        if isinstance(value, str):
            require_storable_text(value, f"{job_type} input, key {name}")


def _explained(error: ValidationError, job_type: str) -> str:
    key = ".".join(map(str, error.absolute_path))
    message = error.message
    if len(message) > 300:  # it quotes the value first, which may be a whole document
        message = f"{message[:100]} ... {message[-150:]}"
    known = ", ".join(error.schema.get("properties", ()))
    wanted = error.schema.get("description")
    hint = f"give {wanted}" if wanted else f"keys are {known}" if known else "see docs/jobs.md"
    return f"{job_type} input{f', key {key}' if key else ''}: {message}; {hint}"
