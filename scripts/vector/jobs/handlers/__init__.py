"""The kinds of job: what each takes, and what does it.

A handler is a module of this package with two functions. `validate(input_json)` gives the input as it is queued, and
raises InvalidRecord when a worker could make nothing of it. `run(context)` does the work and gives the metrics of the
run. Work is done at least once: a job whose worker died is done again from its start, so a handler must store under
keys that make the second time write nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vector.contracts.json_column import UnreadableJson
from vector.contracts.models import JobType
from vector.errors import InvalidRecord
from vector.jobs.context import JobContext


@dataclass(frozen=True)
class Handler:
    """The two functions of a kind of job."""

    job_type: JobType
    validate: Callable[[dict[str, Any]], dict[str, Any]]
    run: Callable[[JobContext], dict[str, Any]]


_MODULES = {
    JobType.CHUNK_SOURCE: "chunk_source",
    JobType.EMBED_CHUNKS: "embed_chunks",
    JobType.REEMBED_SPACE: "reembed_space",
    JobType.RETRIEVE_TEST: "retrieve",
    JobType.DRIFT_TEST: "drift",
}

# Those that were asked for: a module is imported when its first job is.
HANDLERS: dict[JobType, Handler] = {}


def handler_of(job_type: JobType) -> Handler:
    """The handler of a kind of job."""
    if job_type not in HANDLERS:
        module = importlib.import_module(f"vector.jobs.handlers.{_MODULES[job_type]}")
        HANDLERS[job_type] = Handler(job_type, module.validate, module.run)
    return HANDLERS[job_type]


def validated_input(job_type: JobType, input_json: Mapping[str, Any]) -> dict[str, Any]:
    """The input of a job as its handler wants it. Raises InvalidRecord that names the job's kind and what is wrong."""
    if isinstance(input_json, UnreadableJson):
        input_json.refuse()
    if not isinstance(input_json, Mapping):
        raise InvalidRecord(f"{job_type.value}: the input must be a JSON object, is {type(input_json).__name__}")
    try:
        return handler_of(job_type).validate(dict(input_json))
    except RecursionError:
        raise InvalidRecord(f"{job_type.value}: the input is nested too deeply") from None
    except InvalidRecord as error:
        message = str(error)
        raise InvalidRecord(message if job_type.value in message else f"{job_type.value}: {message}") from None
