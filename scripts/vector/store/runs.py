"""The record of work done by hand: a job of its own, and the run that did it."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vector.contracts.ledgers import utc_of
from vector.contracts.models import EmbeddingSpace, JobStatus, JobType, RunStatus, VectorJob, VectorRun
from vector.errors import InvalidRecord
from vector.store.store import VectorStore

logger = logging.getLogger(__name__)

_ABANDONED = "abandoned: the process ended without closing its run"


def this_worker() -> str:
    """This process, as runs name it: `<host name>:<process id>`."""
    return f"{socket.gethostname()}:{os.getpid()}"


@contextmanager
def recorded_run(
    store: VectorStore,
    job_type: JobType,
    input_json: dict[str, Any],
    embedding_space_id: str | None = None,
    begin: Callable[[VectorJob], object] | None = None,
) -> Iterator[VectorRun]:
    """Records a job and its one run around the work inside; yields the run. `begin` saves the job, or raises where the
    work may not begin; by default it is just saved.

    What the caller sets on the run meanwhile (endpoint, model, options, metrics) is stored when it ends: as SUCCEEDED,
    or, on any exception, as FAILED with the error. The rows are written in transactions of their own.
    """
    now = datetime.now(UTC)
    job = VectorJob.create_new(
        job_type,
        input_json,
        status=JobStatus.RUNNING,
        embedding_space_id=embedding_space_id,
        max_attempts=1,
        attempt_count=1,
        locked_by=this_worker(),
        locked_utc=now,
        by_hand_flag=True,
    )
    run = VectorRun.create_new(job.job_id, this_worker(), embedding_space_id=embedding_space_id)
    (begin or store.save_job)(job)
    store.save_run(run)
    try:
        yield run
    except BaseException as error:
        # The error of the work is the one to tell, whatever becomes of the record: `close_abandoned_runs` closes a run
        # that could not be closed.
        try:
            _close(store, job, run, f"{type(error).__name__}: {error}")
        except Exception as unrecorded:
            logger.info("run %s could not be closed: %s", run.run_id, unrecorded)
        raise
    _close(store, job, run, None)


def close_abandoned_runs(store: VectorStore) -> int:
    """Closes, as FAILED, the runs of processes that are gone; the number closed. Call it before a run of your own.

    A process that was killed could not close its run itself. What it had stored stays. A process of this host is looked
    for, but on Windows; one that cannot be looked for, another host's or a container's, counts as gone after a day.
    """
    closed = 0
    for job in store.list_jobs(status=JobStatus.RUNNING):
        # A worker's job has a lease: the queue takes it back when that runs out.
        if job.lease_expires_utc is not None or not _is_abandoned(job):
            continue
        try:
            closed += close_abandoned(store, job)
        except InvalidRecord as error:  # a row that no version of ours wrote: it must not stop the run that comes
            logger.warning("job %s was left open: %s", job.job_id, error)
    return closed


def close_abandoned(store: VectorStore, job: VectorJob) -> int:
    """Closes a job of a process that is gone, and its runs; the number of runs closed."""
    runs = store.list_runs(job.job_id)
    still_open = [run for run in runs if run.status is RunStatus.RUNNING]
    for run in still_open:
        _close_run(store, run, _ABANDONED)
    # The process may have ended before it recorded its run, or when it had closed that and not yet the job.
    _close_job(store, job, runs[-1].error if runs else _ABANDONED)
    return len(still_open)


def running_elsewhere(store: VectorStore, space: EmbeddingSpace) -> str:
    """Who embeds into the space, as far as its open runs tell: `<host name>:<process id> since <time>`."""
    rows = store.engine.query(
        f"select worker_id, started_utc from {store.engine.table('run')} where embedding_space_id = ?"
        " and status = 'RUNNING' and worker_id <> ? order by started_utc desc",
        [space.embedding_space_id, this_worker()],
    )
    return f"{rows[0][0]} since {utc_of(rows[0][1]):%Y-%m-%d %H:%M:%S} UTC" if rows else "another session"


def _close(store: VectorStore, job: VectorJob, run: VectorRun, error: str | None) -> None:
    _close_run(store, run, error)
    _close_job(store, job, error)


def _close_run(store: VectorStore, run: VectorRun, error: str | None) -> None:
    run.status = RunStatus.FAILED if error else RunStatus.SUCCEEDED
    run.error = error
    run.completed_utc = datetime.now(UTC)
    try:
        store.save_run(run)
    except InvalidRecord as unstorable:  # a number that is none, say: the run is closed all the same
        logger.warning("run %s is closed without what it told: %s", run.run_id, unstorable)
        run.options = run.metrics = None
        store.save_run(run)


def _close_job(store: VectorStore, job: VectorJob, error: str | None) -> None:
    # A job by hand has one attempt, so a failed one is given up.
    status = JobStatus.DEADLETTER if error else JobStatus.SUCCEEDED
    now = datetime.now(UTC)
    store.save_job(replace(job, status=status, last_error=error, locked_by=None, locked_utc=None, completed_utc=now))


def _is_abandoned(job: VectorJob) -> bool:
    host, _, process = (job.locked_by or "").rpartition(":")
    here = host == socket.gethostname() and process.isdigit()
    # This process has not begun: a run under its own number is of an earlier process of that number.
    if here and int(process) == os.getpid():
        return True
    # On Windows os.kill would end the process instead of looking for it.
    if here and sys.platform != "win32":
        return not _is_alive(int(process))
    return job.locked_utc is None or datetime.now(UTC) - job.locked_utc > timedelta(days=1)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
