"""The kinds of job: what each takes, and what does it.

A handler is a module of this package with three functions. `validate(input_json)` gives the input as it is queued,
and raises InvalidRecord when a worker could make nothing of it. `require(store, given)` raises InvalidRecord or
UnusableInput when what the input names is not there. `run(context)` does the work and gives the metrics of the run.
Work is done at least once: a job whose worker died is done again from its start, so a handler must store under keys
that make the second time write nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vector.contracts.json_column import UnreadableJson
from vector.contracts.models import JobType, UnknownMember, VectorJob
from vector.errors import InvalidRecord, UnusableInput
from vector.jobs.context import JobContext
from vector.store import VectorStore


@dataclass(frozen=True)
class Handler:
    """The functions of a kind of job."""

    job_type: JobType
    validate: Callable[[dict[str, Any]], dict[str, Any]]
    run: Callable[[JobContext], dict[str, Any]]
    require: Callable[[VectorStore, dict[str, Any]], Any] = lambda store, given: None


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
        HANDLERS[job_type] = Handler(job_type, module.validate, module.run, module.require)
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


_IN_A_SPACE = (JobType.EMBED_CHUNKS, JobType.REEMBED_SPACE, JobType.RETRIEVE_TEST)


def completed_input(store: VectorStore, job_type: JobType, input_json: Any, embedding_space_id: str | None) -> Any:
    """The input with what its short forms leave out: `space_key`, where the job's `embedding_space_id` says it, and
    `from`, where CHUNK_SOURCE is to read a source that is registered. Raises InvalidRecord when that says no origin."""
    if not isinstance(input_json, Mapping):
        return input_json
    given = dict(input_json)
    if job_type in _IN_A_SPACE and "space_key" not in given and embedding_space_id is not None:
        space = store.get_embedding_space(embedding_space_id)
        return {**given, "space_key": space.space_key} if space else given
    if job_type is JobType.CHUNK_SOURCE and "from" not in given and isinstance(given.get("source_id"), str):
        from vector.jobs.handlers.chunk_source import with_origin

        return with_origin(store, given)
    return given


def require_doable(store: VectorStore, job: VectorJob) -> None:
    """Raises InvalidRecord, in one line, when a worker could make nothing of the job as things stand: its input is none
    of its kind, or names what is not there."""
    if isinstance(job.job_type, UnknownMember):
        job.job_type.refuse()
    job_type = JobType(job.job_type)
    given = validated_input(job_type, completed_input(store, job_type, job.input_json, job.embedding_space_id))
    try:
        handler_of(job_type).require(store, given)
    except (InvalidRecord, UnusableInput) as error:
        raise InvalidRecord(f"{job_type.value} input: {error}") from None
