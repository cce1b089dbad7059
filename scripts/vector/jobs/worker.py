"""A worker: claims due jobs and does them, a thread a job, until nothing is due or it is told to stop.

The main thread claims, starts and collects; job threads run handlers; one more thread extends the leases. Each has a
session with the database of its own. On DuckDB, whose file one process at a time can open, the database is closed
whenever nothing is due, so that dbt and other commands get their turn.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from vector.contracts.models import JobType
from vector.errors import ConfigurationError, DatabaseBusy
from vector.files import write_whole
from vector.jobs.active_jobs import ActiveJob, Heartbeats, Outcome
from vector.jobs.active_sources import FIRST_SOURCES, ActiveSources, is_of_pending_source
from vector.jobs.pending_sources import KEY_PREFIX
from vector.jobs.queue import LEASE_SECONDS, Backoff, ClaimedJob, JobQueue
from vector.store import VectorStore

logger = logging.getLogger(__name__)

# Seconds that a job has to hear that it must stop, after those of `drain_seconds`.
_GRACE_SECONDS = 2.0
# How long one wait may take: on Windows no signal interrupts it, and Python hears of a stop in between.
_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker works. `loop`: it polls until it is stopped, else it ends when nothing is due. No `job_types`: all;
    with `key_prefix` only jobs whose dedupe key begins so.
    `drain_seconds` is how long jobs may go on after a stop."""

    worker_id: str
    loop: bool = False
    concurrency: int = 1
    job_types: tuple[JobType, ...] = ()
    key_prefix: str = ""
    poll_seconds: float = 5.0
    lease_seconds: float = LEASE_SECONDS
    drain_seconds: float = 30.0
    backoff: Backoff = Backoff()
    health_file: Path | None = None


class Worker:
    """A worker over stores that `open_store` opens. `counts` says how many jobs ended how, by Outcome; `abandoned`
    whether threads of jobs that did not end in time were left to themselves."""

    def __init__(self, open_store: Callable[[], VectorStore], options: WorkerOptions):
        self.options = options
        self.counts: Counter[Outcome] = Counter()
        self.abandoned = False
        self._open_store = open_store
        # SimpleQueue, because its `put` may interrupt its `get`, as it does in a signal handler.
        self._wake: SimpleQueue[ActiveJob | None] = SimpleQueue()
        self._stops = 0
        self._told_to_stop = threading.Event()
        self._health = HealthFile(options.health_file, worker_id=options.worker_id, poll_seconds=options.poll_seconds)
        self._trouble: str | None = None

    def stop(self) -> None:
        """Asks for a graceful end: no job is begun any more. The second time, running jobs are told to stop at once.
        May be called in a signal handler."""
        self._stops += 1
        self._wake.put(None)

    def run(self) -> None:
        """Works. Raises ConfigurationError when the database cannot be opened at first, or is lost without `loop`; with
        it, the worker tries again at its next poll."""
        opened = False
        self._tell("starting")
        try:
            while not self._stops:
                try:
                    session = _Session(self._open_store, self.options, self._wake, self._told_to_stop)
                except Exception as error:
                    if not self.options.loop or not (opened or isinstance(error, DatabaseBusy)):
                        raise
                    self._cannot("open the database", error)
                else:
                    opened = True
                    try:
                        self._work(session)
                    finally:
                        session.close()
                if not self.options.loop:
                    break
                self._pause()
        finally:
            self._tell("stopped")

    def _work(self, session: _Session) -> None:
        """Works until nothing is due, or, where the database may stay open, until the worker is stopped."""
        try:
            while not self._stops:
                claims = self._claim(session)
                self._tell("working" if session.active else "idle", session)
                if session.active:
                    self._collect(session, self.options.poll_seconds)
                elif not claims and (not self.options.loop or self._trouble or session.single_process):
                    return
                elif not claims:
                    self._pause()
        except BaseException:  # a signal, of which the command makes no stop, say
            self._drain(session)
            raise
        self._drain(session)

    def _claim(self, session: _Session) -> int:
        """Fills the free slots; the number of jobs claimed."""
        free = self.options.concurrency - len(session.active)
        if not free:
            return 0
        try:
            claimed = session.queue.claim(free, self.options.job_types, self.options.key_prefix)
            session.start_all(claimed)
        except Exception as error:
            if not self.options.loop:
                self._drain(session)
                raise
            self._cannot("claim jobs", error)
            return 0
        self._trouble = None
        return len(claimed)

    def _collect(self, session: _Session, seconds: float) -> None:
        """Waits until a job has ended, a stop was asked for, or the time is over; takes in those that have ended."""
        with suppress(Empty):
            ended = self._woken(seconds)
            while True:
                if ended is not None and session.end(ended):
                    self.counts.update(ended.outcomes)
                ended = self._wake.get_nowait()

    def _drain(self, session: _Session) -> None:
        """Lets the running jobs end; tells those that do not to stop; puts back what is then still running."""
        asked, started = self._stops, time.monotonic()
        while session.active and self._stops == asked and time.monotonic() < started + self.options.drain_seconds:
            self._tell("draining", session)
            left = started + self.options.drain_seconds - time.monotonic()
            self._collect(session, min(left, self.options.poll_seconds))
        self._told_to_stop.set()
        grace = time.monotonic() + _GRACE_SECONDS
        while session.active and time.monotonic() < grace:
            self._collect(session, grace - time.monotonic())
        for each in session.active:
            self.abandoned = True
            self.counts.update(session.put_back(claimed) for claimed in each.claims)

    def _pause(self) -> None:
        # What wakes the worker is a stop: no job is running.
        if not self._stops:
            with suppress(Empty):
                self._woken(self.options.poll_seconds)

    def _woken(self, seconds: float) -> ActiveJob | None:
        """What comes within the time. Raises Empty."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            try:
                return self._wake.get(timeout=max(min(left, _WAIT_SECONDS), 0.001))
            except Empty:
                if left <= _WAIT_SECONDS:
                    raise

    def _cannot(self, what: str, error: Exception) -> None:
        self._trouble = f"cannot {what}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        logger.warning("%s; trying again in %g s", self._trouble, self.options.poll_seconds)
        self._tell("waiting")

    def _tell(self, state: str, session: _Session | None = None) -> None:
        counts = {outcome.value: self.counts[outcome] for outcome in Outcome}
        self._health.write(state, trouble=self._trouble, counts=counts, **(session.described() if session else {}))


class _Session:
    """An open database: the claiming queue, the active jobs with their threads and stores, and the heartbeats."""

    def __init__(
        self,
        open_store: Callable[[], VectorStore],
        options: WorkerOptions,
        wake: SimpleQueue[ActiveJob | None],
        told_to_stop: threading.Event,
    ):
        store = open_store()
        self.queue = JobQueue(store, options.worker_id, lease_seconds=options.lease_seconds, backoff=options.backoff)
        self.single_process = store.engine.single_process
        self._wake, self._told_to_stop = wake, told_to_stop
        self._running: dict[str, ActiveJob] = {}
        self._lock = threading.Lock()
        self._free: list[JobQueue] = []
        self._sources = FIRST_SOURCES
        try:
            self._heartbeats = Heartbeats(self._another(), lambda: self.active)
        except BaseException:
            store.close()
            raise

    @property
    def active(self) -> list[ActiveJob]:
        """The jobs whose end has not been taken in."""
        with self._lock:
            return list(self._running.values())

    def start_all(self, claims: list[ClaimedJob]) -> None:
        """Does each job in a thread, one of a pending source together with further ones. Those that get no session with
        the database are put back."""
        for i, claimed in enumerate(claims):
            batch = [claimed]
            try:
                if is_of_pending_source(claimed.job):
                    self._claim_further(batch)
                self._start(batch)
            except BaseException:
                for each in [*batch, *claims[i + 1 :]]:
                    self.put_back(each)
                raise

    def _claim_further(self, batch: list[ClaimedJob]) -> None:
        while len(batch) < self._sources:
            further = self.queue.claim(self._sources - len(batch), (JobType.CHUNK_SOURCE,), KEY_PREFIX)
            if not further:
                return
            batch += further

    def put_back(self, claimed: ClaimedJob) -> Outcome:
        """Releases a job; what became of it. Raises nothing, so that the next one has its turn."""
        try:
            return Outcome.RELEASED if self.queue.release(claimed) else Outcome.LOST
        except Exception:
            logger.warning("job %s could not be put back; its lease will run out", claimed.job.job_id, exc_info=True)
            return Outcome.UNRECORDED

    def _start(self, batch: list[ClaimedJob]) -> None:
        # The thread puts the job into `wake` when it has ended.
        claimed = batch[0]
        queue = self._free.pop() if self._free else self._another()
        active = (
            ActiveSources(claimed, queue, self._told_to_stop, batch=batch)
            if is_of_pending_source(claimed.job)
            else ActiveJob(claimed, queue, self._told_to_stop)
        )
        with self._lock:
            self._running[claimed.run.run_id] = active

        def perform() -> None:
            active.perform()
            self._wake.put(active)

        # A daemon, so that a handler that never ends cannot keep the process.
        try:
            threading.Thread(target=perform, name=f"job {claimed.job.job_id}", daemon=True).start()
        except BaseException:
            with self._lock:
                del self._running[claimed.run.run_id]
            self._free.append(active.queue)
            raise

    def end(self, active: ActiveJob) -> bool:
        """Takes in that a job has ended; whether it was one of this session."""
        with self._lock:
            known = self._running.pop(active.claimed.run.run_id, None) is not None
        if isinstance(active, ActiveSources):
            self._sources = active.sources_next
        if known and active.store_is_clean:
            self._free.append(active.queue)
        elif known:
            with suppress(Exception):
                active.queue.store.close()
        return known

    def described(self) -> dict[str, Any]:
        """What the health file says of a session."""
        jobs = [
            {
                "job_id": each.job.job_id,
                "job_type": each.job.job_type.value,
                "attempt": each.job.attempt_count,
                "started_utc": each.run.started_utc.isoformat(timespec="milliseconds"),
            }
            for active in self.active
            for each in active.claims
        ]
        beat = datetime.fromtimestamp(self._heartbeats.last, UTC).isoformat(timespec="milliseconds")
        return {"jobs": jobs, "heartbeat_utc": beat}

    def close(self) -> None:
        """Closes the stores. That of a job that has not ended is left to it: the process is about to end."""
        with suppress(Exception):
            self._heartbeats.stop()
        for queue in (*self._free, self.queue):
            with suppress(Exception):
                queue.store.close()

    def _another(self) -> JobQueue:
        return self.queue.over(VectorStore(engine=self.queue.engine.another()))


class HealthFile:
    """The file that a scheduler's probe reads (docs/operations.md): JSON, replaced as a whole. Without a path nothing
    is written.

    Raises ConfigurationError when the first write fails: the path is wrong. A later failure is a warning in the log,
    once until a write succeeds again.
    """

    def __init__(self, path: str | Path | None, **always: Any):
        self._path = None if path is None else Path(path)
        self._always = always
        self._written = self._failing = False

    def write(self, state: str, **values: Any) -> None:
        """Writes the state of the worker and the time."""
        if self._path is None:
            return
        content: Mapping[str, Any] = {
            "time_utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "state": state,
            "pid": os.getpid(),
            **self._always,
            **values,
        }
        try:
            # Escapes, not bytes: a server's words are in it, and people print the file. Probes of other users read it.
            write_whole(self._path, json.dumps(content).encode("ascii") + b"\n", new_mode=0o666, wait=False)
            self._written, self._failing = True, False
        except OSError as error:
            problem = f"health file {self._path}: {error.strerror or error}"
            if not self._written:
                raise ConfigurationError(problem) from None
            if not self._failing:
                logger.warning("%s", problem)
            self._failing = True
