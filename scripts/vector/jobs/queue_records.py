"""The rows of the queue: what is asked of it, what a claim gives, and what an outcome writes."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vector.contracts.ledgers import RUN
from vector.contracts.models import JobType, RunStatus, VectorJob, VectorRun
from vector.engines.base import Engine
from vector.errors import InvalidRecord
from vector.jobs.handlers import completed_input, validated_input
from vector.store import VectorStore

_LONGEST_ERROR = 8000
# Seconds for which an answer of the database is carried on by this process's own clock.
_FRESH = 30.0


@dataclass(frozen=True)
class JobRequest:
    """Work to be queued; the fields are those of VectorJob. `available_utc` None: at once."""

    job_type: JobType
    input_json: Mapping[str, Any]
    priority: int = 100
    available_utc: datetime | None = None
    max_attempts: int = 3
    dedupe_key: str | None = None
    embedding_space_id: str | None = None


@dataclass(frozen=True)
class ClaimedJob:
    """A job under a lease, and the run that was opened for it."""

    job: VectorJob
    run: VectorRun


@dataclass(frozen=True)
class Backoff:
    """Seconds between attempts: doubled from one to the next up to a limit, half of it by chance, so that jobs which
    failed together do not come back together ("equal jitter", AWS Architecture Blog, Exponential Backoff And Jitter).
    """

    base_seconds: float = 10.0
    cap_seconds: float = 3600.0

    def delay(self, attempt: int) -> timedelta:
        """How long to wait after the attempt of this number, from 1."""
        longest = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 60))
        return timedelta(seconds=random.uniform(longest / 2, longest))


def completed(store: VectorStore, request: JobRequest) -> JobRequest:
    """The request with its input spelt out. Raises InvalidRecord as completed_input does."""
    given = completed_input(store, request.job_type, request.input_json, request.embedding_space_id)
    return replace(request, input_json=given)


def new_job(request: JobRequest, now: datetime) -> VectorJob:
    """The job of a request. Raises InvalidRecord when a field has no possible value."""
    for name, least in (("priority", -(2**31)), ("max_attempts", 1)):
        value = getattr(request, name)
        if type(value) is not int or not least <= value < 2**31:
            raise InvalidRecord(f"job {name}: must be a whole number from {least} on, is {value!r}")
    key = request.dedupe_key
    # SQL Server takes keys that differ in trailing blanks for the same.
    if key is not None and (not key or key != key.strip()):
        raise InvalidRecord(f"job dedupe_key: {key!r} is empty or has blanks at an end; leave it out for none")
    return VectorJob.create_new(
        request.job_type,
        validated_input(request.job_type, request.input_json),
        priority=request.priority,
        available_utc=request.available_utc or now,
        max_attempts=request.max_attempts,
        dedupe_key=request.dedupe_key,
        embedding_space_id=request.embedding_space_id,
        created_utc=now,
    )


def counted_to_spaces(store: VectorStore, jobs: Sequence[VectorJob]) -> list[VectorJob]:
    """The jobs, counted to the space that their input names where it exists and they do not say one themselves."""
    keys = [job.input_json.get("space_key") if job.embedding_space_id is None else None for job in jobs]
    spaces = {key: store.get_embedding_space_by_key(key) for key in {key for key in keys if isinstance(key, str)}}
    found = {key: space.embedding_space_id for key, space in spaces.items() if space}
    return [
        replace(job, embedding_space_id=found[key]) if isinstance(key, str) and key in found else job
        for job, key in zip(jobs, keys, strict=True)
    ]


def job_type_of(value: JobType | str) -> JobType:
    """The kind of job. Raises InvalidRecord for an unknown one."""
    try:
        return JobType(value)
    except ValueError:
        known = ", ".join(each.value for each in JobType)
        raise InvalidRecord(f"job_type: {value!r} is none of {known}") from None


def run_of(job: VectorJob) -> VectorRun:
    """The run that was opened when the job was claimed."""
    return VectorRun(
        job.locked_run_id, job.job_id, job.locked_by, embedding_space_id=job.embedding_space_id,
        started_utc=job.locked_utc,
    )  # fmt: skip


def run_columns(run: VectorRun) -> dict[str, Any]:
    """What the handler has set on its run: endpoint, model, options, metrics."""
    row = dict(zip(RUN.column_names, RUN.to_row(run), strict=True))
    return {name: row[name] for name in RUN.mutable}


def run_columns_if_storable(run: VectorRun) -> dict[str, Any]:
    """The same of a run that has failed; nothing, where a value among it is one that cannot be stored."""
    try:
        return run_columns(run)
    except InvalidRecord:
        return {}


def end_columns(status: RunStatus, now: datetime, error: str | None) -> dict[str, Any]:
    """The columns of a run that ends now."""
    return {"status": status.value, "error": error, "completed_utc": now}


def message(error: BaseException | str) -> str:
    """The error as it can be stored: no database keeps a lone surrogate or U+0000."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    return text[:_LONGEST_ERROR].encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def stored(moment: datetime) -> datetime:
    """The time as the ledgers hold it: naive UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def job_type_values(job_types: Sequence[JobType]) -> list[str]:
    """The kinds of job as the ledger names them."""
    return [JobType(each).value for each in job_types]


def types_among(job_types: Sequence[JobType]) -> str:
    """The condition that a job is of one of these kinds."""
    return f"job_type in ({', '.join('?' * len(job_types))})"


def and_types(job_types: Sequence[JobType]) -> str:
    """What restricts a select further to these kinds of job; nothing for none."""
    return f" and {types_among(job_types)}" if job_types else ""


class DatabaseClock:
    """The clock that all workers share, whatever those of their machines say: called, it gives the database's time as
    an aware UTC datetime, and asks for it twice a minute at most."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._asked = 0.0
        self._answer: datetime | None = None

    def __call__(self) -> datetime:
        """The time now."""
        since = time.monotonic() - self._asked
        if self._answer is None or since > _FRESH:
            self._answer = self._engine.utc_now().replace(tzinfo=UTC)
            self._asked, since = time.monotonic(), 0.0
        return self._answer + timedelta(seconds=since)
