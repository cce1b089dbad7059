"""The job queue: enqueue, claim, heartbeat, outcome.

A claim gives a worker a lease of a job and opens a run, whose id is the lease's token: a heartbeat or an outcome is
written only where the job still names that run. A lease that is not extended runs out; the attempt then counts, and any
worker may claim the job, unless two leases in a row ran out. Each operation is one short transaction of its own.
docs/operations.md has the state machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from vector.contracts.identity import canonical_json
from vector.contracts.ledgers import JOB, RUN, utc_of
from vector.contracts.models import JobStatus, JobType, RunStatus, VectorJob
from vector.engines.base import ClaimRequest, with_queue
from vector.errors import ConfigurationError
from vector.jobs.queue_records import (
    Backoff,
    ClaimedJob,
    DatabaseClock,
    JobRequest,
    and_types,
    completed,
    counted_to_spaces,
    end_columns,
    job_type_of,
    job_type_values,
    message,
    new_job,
    run_columns,
    run_columns_if_storable,
    run_of,
    stored,
    types_among,
)
from vector.store import VectorStore, ledger_io

__all__ = ["LEASE_SECONDS", "Backoff", "ClaimedJob", "JobQueue", "JobRequest"]

LEASE_SECONDS = 60.0
# A claim's parameters stay below the 2,100 that SQL Server takes.
_LARGEST_CLAIM = 300
_LONGEST_NAME = 200
_NO_LEASE = {"locked_by": None, "locked_utc": None, "locked_run_id": None, "lease_expires_utc": None}
# What complete_many writes of a run: the key first.
_ENDED = ("run_id", "status", "metrics_json", "completed_utc")
_OPEN = "('NEW', 'RUNNING', 'FAILED')"
# A job that runs without a lease is nobody's; but that of a command has none, and is the command's own.
_LAPSED = "(lease_expires_utc <= ? or (lease_expires_utc is null and by_hand_flag is null))"
# How the error of a run begins whose worker did not end it.
LEASE_LOST = "lease lost"


class JobQueue:
    """The queue as one worker sees it, over the worker's store. For one thread, as the store is.

    `clock` gives aware UTC datetimes; the database's time unless given. Raises ConfigurationError for a name that the
    ledgers cannot hold.
    """

    def __init__(
        self,
        store: VectorStore,
        worker_id: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], datetime] | None = None,
        backoff: Backoff | None = None,
    ):
        if not 0 < len(worker_id) <= _LONGEST_NAME:
            raise ConfigurationError(f"worker id: must have 1 to {_LONGEST_NAME} characters, has {len(worker_id)}")
        self.store, self.engine, self.worker_id = store, with_queue(store.engine), worker_id
        self.lease = timedelta(seconds=lease_seconds)
        self.clock = clock or DatabaseClock(store.engine)
        self.backoff = backoff or Backoff()
        self._job, self._run = store.engine.table("job"), store.engine.table("run")

    def over(self, store: VectorStore) -> JobQueue:
        """The same queue over another store, for another thread."""
        clock = DatabaseClock(store.engine) if isinstance(self.clock, DatabaseClock) else self.clock
        seconds = self.lease.total_seconds()
        return JobQueue(store, self.worker_id, lease_seconds=seconds, clock=clock, backoff=self.backoff)

    # Into the queue

    def enqueue(self, job_type: JobType | str, input_json: Mapping[str, Any], **options: Any) -> VectorJob:
        """Queues a job; `options` are the further fields of JobRequest. Where an open job (NEW, RUNNING or FAILED) has
        the dedupe key already, nothing is queued, and that job is given.

        Raises InvalidRecord when the input is none for this kind of job, or a field has no possible value.
        """
        return self.enqueue_many([JobRequest(job_type_of(job_type), input_json, **options)])[0]

    def enqueue_many(self, requests: Iterable[JobRequest]) -> list[VectorJob]:
        """Queues jobs, all or none; a job for each request, as `enqueue` gives it. Raises as `enqueue` does."""
        now = self.clock()
        asked = counted_to_spaces(self.store, [new_job(completed(self.store, request), now) for request in requests])
        first_of_key: dict[str, VectorJob] = {}
        for job in asked:
            if job.dedupe_key is not None:
                first_of_key.setdefault(job.dedupe_key, job)
        new = [job for job in asked if job.dedupe_key is None or first_of_key[job.dedupe_key] is job]
        rows = list(ledger_io.rows_by_key(self.engine, JOB, new).values())

        def write() -> dict[str, VectorJob]:
            with self.engine.staged(JOB.columns, rows) as staged:
                self._insert_unless_open(staged)
                return self._open_jobs_of(staged) if first_of_key else {}

        found = self._transaction(write) if rows else {}
        return [job if job.dedupe_key is None else found[job.dedupe_key] for job in asked]

    def _insert_unless_open(self, staged: str) -> None:
        # Race-free by `held`: on SQL Server its range locks make a second session wait before it looks for a key that
        # the first one is about to insert; on DuckDB sessions take turns.
        names = ", ".join(JOB.column_names)
        self.engine.execute(
            f"insert into {self._job} ({names}) select {names} from {staged} as staged where staged.dedupe_key is null"
            f" or not exists (select 1 from {self.engine.held('job', 'open_job')}"
            f" where open_job.dedupe_key = staged.dedupe_key and open_job.status in {_OPEN})"
        )

    def _open_jobs_of(self, staged: str) -> dict[str, VectorJob]:
        names = ", ".join(f"open_job.{name}" for name in JOB.column_names)
        rows = self.engine.query(
            f"select {names} from {self._job} as open_job inner join {staged} as staged"
            f" on open_job.dedupe_key = staged.dedupe_key where open_job.status in {_OPEN}"
        )
        return {str(job.dedupe_key): job for job in map(self._job_of, rows)}

    # Out of the queue

    def due(self, count: int, job_types: Sequence[JobType] = ()) -> list[VectorJob]:
        """The jobs that a claim would take now, in its order; nothing is taken. Those whose lease has run out, which a
        claim takes back first, are not among them, nor those that it gives up for want of an attempt."""
        names = ", ".join(JOB.column_names)
        rows = self.engine.query(
            f"select {names} from {self._job} where status in ('NEW', 'FAILED') and available_utc <= ?"
            f" and attempt_count < max_attempts{and_types(job_types)} order by priority desc, available_utc, job_id"
            " offset 0 rows fetch next ? rows only",
            [stored(self.clock()), *job_type_values(job_types), count],
        )
        return [self._job_of(row) for row in rows]

    def claim(self, count: int = 1, job_types: Sequence[JobType] = (), key_prefix: str = "") -> list[ClaimedJob]:
        """Takes at most `count` due jobs, the most urgent first, of these types (none: of any) and with a dedupe key
        that begins so (empty: with any or none), each under a lease of its own with a run opened for it. What other
        workers let lapse is taken back before. Due jobs that have no attempt left, as somebody changed their counters,
        become dead letters on the way."""
        self.take_back_lapsed()
        while True:
            claims, given_up = self._claim(count, job_types, key_prefix)
            if claims or not given_up:
                return claims

    def _claim(self, count: int, job_types: Sequence[JobType], key_prefix: str) -> tuple[list[ClaimedJob], int]:
        """The jobs that are claimed, and the number of those that were given up instead."""
        now = self.clock()
        request = ClaimRequest(
            self.worker_id, min(count, _LARGEST_CLAIM), stored(now), stored(now + self.lease), JOB.column_names,
            tuple(job_type_values(job_types)), key_prefix,
        )  # fmt: skip

        def write() -> tuple[list[VectorJob], int]:
            taken = [self._job_of(row) for row in self.engine.claim(request)]
            jobs = [job for job in taken if job.attempt_count <= job.max_attempts]
            for job in taken:
                if job.attempt_count > job.max_attempts:
                    error = f"no attempt is left: attempt_count had reached max_attempts, {job.max_attempts}"
                    changes = self._failed_changes(error, request.now, None)
                    self._update(self._job, changes, "job_id = ?", [job.job_id])
            if jobs:
                self.engine.execute(
                    f"insert into {self._run} (run_id, job_id, worker_id, status, embedding_space_id, started_utc)"
                    f" values {', '.join(['(?, ?, ?, ?, ?, ?)'] * len(jobs))}",
                    [
                        value
                        for job in jobs
                        for value in (
                            job.locked_run_id, job.job_id, job.locked_by, "RUNNING", job.embedding_space_id,
                            request.now,
                        )
                    ],
                )  # fmt: skip
            return jobs, len(taken) - len(jobs)

        jobs, given_up = self._transaction(write)
        jobs.sort(key=lambda job: (-job.priority, job.available_utc, job.job_id))
        return [ClaimedJob(job, run_of(job)) for job in jobs], given_up

    def take_back_lapsed(self) -> int:
        """Ends the leases that have run out, and takes back jobs that run without one: the job may be claimed again, or
        is dead where its attempts are used up or it lost two workers in a row, and the run is FAILED. The number of
        jobs taken back."""
        now = stored(self.clock())
        lapsed = self.engine.query(
            "select job_id, locked_run_id, locked_by, lease_expires_utc, attempt_count, max_attempts, last_error"
            f" from {self._job} where status = 'RUNNING' and {_LAPSED}",
            [now],
        )
        taken = 0
        for job_id, run_id, worker, expired, attempts, most, last_error in lapsed:
            if expired is None:
                error = f"{LEASE_LOST}: the job was RUNNING without one"
            else:
                error = (
                    f"{LEASE_LOST}: worker {worker} did not extend it before {utc_of(expired):%Y-%m-%d %H:%M:%S} UTC"
                )
                # What a retry leaves of an error is not of these attempts.
                if 1 < attempts < most and (last_error or "").startswith(f"{LEASE_LOST}: worker"):
                    most, error = 0, f"{error}, nor did the worker before it; the job may have ended both"
            changes = self._failed_changes(error, now, None if attempts >= most else now)
            # A heartbeat may have come in between, so the time is looked at again.
            taken += self._settle(job_id, run_id, changes, end_columns(RunStatus.FAILED, now, error), lapsed_by=now)
        return taken

    # While a job runs

    def heartbeat(self, claimed: ClaimedJob) -> bool:
        """Extends the lease from now on; whether it is still held. One that has run out and that nobody has taken back
        yet is held."""
        return bool(self.heartbeat_all([claimed]))

    def heartbeat_all(self, claims: Sequence[ClaimedJob]) -> set[str]:
        """Extends leases; the ids of the runs that still hold theirs."""
        if not claims:
            return set()
        expires = stored(self.clock() + self.lease)
        held: set[str] = set()
        for start in range(0, len(claims), _LARGEST_CLAIM):
            some = claims[start : start + _LARGEST_CLAIM]
            held |= self._transaction(partial(self._extend, some, expires))
        return held

    def _extend(self, claims: Sequence[ClaimedJob], expires: datetime) -> set[str]:
        # A run holds the lease of its own job only, so the pairs need not be compared.
        ids = [claimed.job.job_id for claimed in claims] + [claimed.run.run_id for claimed in claims]
        marks = ", ".join("?" * len(claims))
        where = f"job_id in ({marks}) and locked_run_id in ({marks}) and status = 'RUNNING'"
        self.engine.execute(f"update {self._job} set lease_expires_utc = ? where {where}", [expires, *ids])
        rows = self.engine.query(f"select locked_run_id from {self._job} where {where}", ids)
        return {run_id for (run_id,) in rows}

    # Outcomes. Each says whether the lease was still held; nothing is written where it was not.

    def complete(self, claimed: ClaimedJob, metrics: Mapping[str, Any] | None = None) -> bool:
        """Records success, with the run's metrics."""
        now = stored(self.clock())
        run = replace(claimed.run, metrics={**(claimed.run.metrics or {}), **(metrics or {})} or None)
        changes = {**_NO_LEASE, "status": JobStatus.SUCCEEDED.value, "completed_utc": now}
        return self._settle(
            claimed.job.job_id, run.run_id, changes, {**run_columns(run), **end_columns(RunStatus.SUCCEEDED, now, None)}
        )

    def complete_many(self, ended: Sequence[tuple[ClaimedJob, Mapping[str, Any]]]) -> set[str]:
        """Records the success of several jobs, with their runs' metrics, in one transaction; the ids of the runs that
        held their lease. At most 300."""
        now = stored(self.clock())
        rows = [
            (claimed.run.run_id, RunStatus.SUCCEEDED.value, canonical_json(dict(metrics)), now)
            for claimed, metrics in ended
        ]
        columns = [column for column in RUN.columns if column.name in _ENDED]

        def write() -> set[str]:
            held = self._extend([claimed for claimed, _ in ended], now + self.lease)
            if held:
                changes = {**_NO_LEASE, "status": JobStatus.SUCCEEDED.value, "completed_utc": now}
                # They are ours until the transaction ends.
                jobs = [claimed.job.job_id for claimed, _ in ended if claimed.run.run_id in held]
                self._update(self._job, changes, f"job_id in ({', '.join('?' * len(jobs))})", jobs)
                order = [_ENDED.index(column.name) for column in columns]
                kept = [tuple(row[i] for i in order) for row in rows if row[0] in held]
                with self.engine.staged(columns, kept) as staged:
                    self.engine.update_from("run", staged, _ENDED[1:], _ENDED[:1])
            return held

        return self._transaction(write) if ended else set()

    def fail(self, claimed: ClaimedJob, error: BaseException | str, *, retry: bool = True) -> bool:
        """Records a failed attempt. The job waits for its next one, or is dead after the last, and at once with
        `retry=False`, for an error that every attempt would meet."""
        now, job = self.clock(), claimed.job
        spent = not retry or job.attempt_count >= job.max_attempts
        available = None if spent else stored(now + self.backoff.delay(job.attempt_count))
        text = message(error)
        return self._settle(
            job.job_id,
            claimed.run.run_id,
            self._failed_changes(text, stored(now), available),
            {**run_columns_if_storable(claimed.run), **end_columns(RunStatus.FAILED, stored(now), text)},
        )

    def release(self, claimed: ClaimedJob) -> bool:
        """Puts a job back that its worker cannot finish, as if it had not been claimed; the run stays, as FAILED."""
        changes = {**_NO_LEASE, "status": JobStatus.NEW.value, "attempt_count": claimed.job.attempt_count - 1}
        error = f"released: worker {self.worker_id} stopped before the job ended"
        run = {**run_columns_if_storable(claimed.run), **end_columns(RunStatus.FAILED, stored(self.clock()), error)}
        return self._settle(claimed.job.job_id, claimed.run.run_id, changes, run)

    def _failed_changes(self, error: str, now: datetime, available: datetime | None) -> dict[str, Any]:
        """The changes of a job that has failed; it is dead when it is never `available` again."""
        if available is None:
            return {**_NO_LEASE, "status": "DEADLETTER", "last_error": error, "completed_utc": now}
        return {**_NO_LEASE, "status": "FAILED", "last_error": error, "available_utc": available}

    # By people

    def latest(self, count: int, status: str | None = None, job_types: Sequence[JobType] = ()) -> list[VectorJob]:
        """Jobs, the latest first, of this status and these types where they are given."""
        conditions = [*(["status = ?"] if status else []), *([types_among(job_types)] if job_types else [])]
        where = f" where {' and '.join(conditions)}" if conditions else ""
        rows = self.engine.query(
            f"select {', '.join(JOB.column_names)} from {self._job}{where}"
            " order by created_utc desc, job_id offset 0 rows fetch next ? rows only",
            [*([status] if status else []), *job_type_values(job_types), count],
        )
        return [self._job_of(row) for row in rows]

    def cancel(self, job_id: str) -> bool:
        """Gives an open job up, as DEADLETTER; whether there was one. A worker that has it loses its lease, and hears
        of it at its next heartbeat. A command that was run by hand cannot be cancelled: stop it."""
        now = stored(self.clock())
        changes = {**_NO_LEASE, "status": "DEADLETTER", "completed_utc": now, "cancelled_utc": now}

        def write() -> int:
            where = f"job_id = ? and status in {_OPEN} and by_hand_flag is null"
            cancelled = self._update(self._job, changes, where, [job_id])
            if cancelled:
                closed = end_columns(RunStatus.FAILED, now, "cancelled")
                self._update(self._run, closed, "job_id = ? and status = 'RUNNING'", [job_id])
            return cancelled

        return self._transaction(write) == 1

    def retry(self, job_id: str) -> bool:
        """Makes a FAILED or DEADLETTER job due at once, with all its attempts before it; whether it was done. It is not
        where an open job has the same dedupe key, nor for a command that was run by hand."""
        changes = {
            **_NO_LEASE, "status": "NEW", "attempt_count": 0, "available_utc": stored(self.clock()),
            "completed_utc": None, "cancelled_utc": None,
        }  # fmt: skip

        def write() -> int:
            where, parameters = "job_id = ? and status in ('FAILED', 'DEADLETTER') and by_hand_flag is null", [job_id]
            for (key,) in self.engine.query(
                f"select dedupe_key from {self._job} where job_id = ? and dedupe_key is not null", parameters
            ):
                where += (
                    f" and not exists (select 1 from {self.engine.held('job', 'open_job')}"
                    f" where open_job.dedupe_key = ? and open_job.job_id <> ? and open_job.status in {_OPEN})"
                )
                parameters = [job_id, key, job_id]
            return self._update(self._job, changes, where, parameters)

        return self._transaction(write) == 1

    def requeue_dead(self, job_types: Sequence[JobType] = ()) -> list[str]:
        """Retries every dead job of these types (none: of any) but those that were cancelled; the ids of those it did.
        Of several with one dedupe key it is the oldest."""
        rows = self.engine.query(
            f"select job_id from {self._job} where status = 'DEADLETTER' and cancelled_utc is null"
            f" and by_hand_flag is null{and_types(job_types)} order by created_utc, job_id",
            job_type_values(job_types),
        )
        return [job_id for (job_id,) in rows if self.retry(job_id)]

    # Statements

    def _settle(
        self,
        job_id: str,
        run_id: str | None,
        job: dict[str, Any],
        run: dict[str, Any],
        lapsed_by: datetime | None = None,
    ) -> bool:
        """Ends a lease, where this run, or none, still holds it, and closes the run."""
        held_by = "locked_run_id is null" if run_id is None else "locked_run_id = ?"
        where = f"job_id = ? and {held_by} and status = 'RUNNING'"
        parameters: list[Any] = [job_id]
        parameters += [] if run_id is None else [run_id]
        if lapsed_by is not None:
            where, parameters = f"{where} and {_LAPSED}", [*parameters, lapsed_by]

        def write() -> int:
            held = self._update(self._job, job, where, parameters)
            if held:
                of_lease, key = ("job_id = ?", job_id) if run_id is None else ("run_id = ?", run_id)
                self._update(self._run, run, f"{of_lease} and status = 'RUNNING'", [key])
            return held

        return self._transaction(write) == 1

    def _update(self, table: str, changes: Mapping[str, Any], where: str, parameters: Sequence[Any]) -> int:
        settings = ", ".join(f"{name} = {'null' if value is None else '?'}" for name, value in changes.items())
        given = [value for value in changes.values() if value is not None]
        return self.engine.execute(f"update {table} set {settings} where {where}", [*given, *parameters])

    def _transaction(self, work: Callable[[], Any]) -> Any:
        with self.engine.queue_turn(), ledger_io.refusals_explained(self.engine, JOB):
            return self.engine.atomically(work)

    def _job_of(self, row: tuple) -> VectorJob:
        return JOB.from_row(row, self.engine.decode_vector)
