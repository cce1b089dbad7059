"""Validation of a job's `input_json` by a JSON Schema (draft 2020-12), with errors that say what to do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from vector.contracts.identity import require_storable_text
from vector.errors import ConfigurationError, InvalidRecord
from vector.search.policy import SearchPolicy

SOURCE_TYPES = {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 100}, "uniqueItems": True}
SPACE_KEY = {
    "type": "string",
    "minLength": 1,
    "maxLength": 200,
    "description": "the space_key of an embedding space, as `vector spaces` lists it",
}

TOP_K: dict[str, Any] = {
    "type": "integer",
    "minimum": 1,
    "maximum": 10_000,
    "description": "a number of hits from 1 to 10000",
}
QUERY_SET = {"type": "string", "minLength": 1, "description": "a query_set of the seed eval_query"}

_COUNT = {"type": "integer", "maximum": 2**31 - 1, "description": "a number from 1"}
# The keys of a search policy in a job's input: what JSON they are. Their values are checked by SearchPolicy.
POLICY: dict[str, dict[str, Any]] = {
    "mode": {"type": "string", "description": "one of dense, lexical, hybrid"},
    "min_score": {"type": "number", "description": "a finite number"},
    "per_source": {**_COUNT, "type": ["integer", "null"], "description": "a number from 1, or null for no limit"},
    "mmr": {"type": "number", "description": "a number from 0 to 1"},
    "rerank": {
        "type": "string",
        "pattern": "^[^:]+$",  # module:function would be imported on the word of a row
        "description": "the name of an entry point of the group vector.rerankers, which is all that a job may name",
    },
    "pool": _COUNT,
    "fusion": {"type": "string", "description": "score or rrf"},
    "dense_weight": {"type": "number", "description": "a number from 0 to 1"},
    "language": {"type": "string", "description": "a language that `vector search --language` takes, or none"},
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


def policy_of(given: Mapping[str, Any]) -> SearchPolicy:
    """The search policy that a checked input of a job names; dense, where it names no mode. Raises ConfigurationError
    on a value that no policy has."""
    # JSON may write 1 as 1.0 and the other way round; one policy must be logged in one way.
    numbers = {"min_score": float, "per_source": int, "mmr": float, "pool": int, "dense_weight": float}
    return SearchPolicy(**{name: numbers.get(name, str)(given[name]) for name in POLICY if given.get(name) is not None})


def check_policy(given: Mapping[str, Any], job_type: str) -> None:
    """Raises InvalidRecord that names the key, when a value of the input is none that a search policy has."""
    for name in POLICY.keys() & given.keys():
        try:
            policy_of({name: given[name]})
        except ConfigurationError:
            wanted = POLICY[name]["description"]
            raise InvalidRecord(f"{job_type} input, key {name}: it is {given[name]!r}; give {wanted}") from None


def _explained(error: ValidationError, job_type: str) -> str:
    key = ".".join(map(str, error.absolute_path))
    message = error.message
    if len(message) > 300:  # it quotes the value first, which may be a whole document
        message = f"{message[:100]} ... {message[-150:]}"
    known = ", ".join(error.schema.get("properties", ()))
    wanted = error.schema.get("description")
    hint = f"give {wanted}" if wanted else f"keys are {known}" if known else "see docs/operations.md"
    return f"{job_type} input{f', key {key}' if key else ''}: {message}; {hint}"
