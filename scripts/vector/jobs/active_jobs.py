"""Runs claimed jobs: calls the handler, extends the lease meanwhile, and records the outcome under that lease."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial

from vector.contracts.json_column import UnreadableJson
from vector.contracts.models import UnknownMember
from vector.errors import ExtractionLimit, InvalidRecord, SpaceRefused, UnusableInput
from vector.jobs.context import JobContext, JobStopped
from vector.jobs.handlers import completed_input, handler_of
from vector.jobs.queue import ClaimedJob, JobQueue
from vector.store import VectorStore
from vector.store.ledger_io import ConstraintRefusal

logger = logging.getLogger(__name__)

# Heartbeats in the time of a lease: one may be late and another fail.
_PER_LEASE = 3

# Errors that every further attempt would raise too: the input is wrong or too large, or another model answers under the
# space's name.
PERMANENT = (InvalidRecord, UnusableInput, SpaceRefused, ExtractionLimit)


def is_permanent(error: BaseException) -> bool:
    """Whether every further attempt would raise the error too. A constraint's refusal is not permanent: another session
    may have added the row a moment before, and the next attempt finds it."""
    return isinstance(error, PERMANENT) and not isinstance(error, ConstraintRefusal)


class Outcome(Enum):
    """How a job ended for its worker. LOST: the lease was lost, so nothing was written. UNRECORDED: the database could
    not be reached, so the lease will run out."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DEAD = "dead"
    RELEASED = "released"
    LOST = "lost"
    UNRECORDED = "unrecorded"


@dataclass
class ActiveJob:
    """A job that is being done by a thread with a queue, and so a store, of its own.

    `lost` is set when the lease is lost. `told_to_stop`, which all jobs of a worker share, is set when the worker must
    end. `extended` is when the lease was last confirmed, on the monotonic clock.
    """

    claimed: ClaimedJob
    queue: JobQueue
    told_to_stop: threading.Event
    lost: threading.Event = field(default_factory=threading.Event)
    extended: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None

    @property
    def claims(self) -> list[ClaimedJob]:
        """The claims whose leases it needs."""
        return [self.claimed]

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How its jobs ended."""
        return Counter([self.outcome] if self.outcome else [])

    @property
    def store_is_clean(self) -> bool:
        """Whether the store may serve another job: no error has come out of it."""
        return self.outcome in (Outcome.SUCCEEDED, Outcome.LOST)

    def perform(self) -> None:
        """Does the job and sets its outcome; raises nothing."""
        try:
            self.outcome = self._attempt()
        except BaseException:
            logger.warning("job %s: the outcome could not be recorded", self.claimed.job.job_id, exc_info=True)
            self.outcome = Outcome.UNRECORDED

    def _attempt(self) -> Outcome:
        job = self.claimed.job
        try:
            for value in (job.job_type, job.input_json):
                if isinstance(value, (UnknownMember, UnreadableJson)):
                    value.refuse()
            metrics = handler_of(job.job_type).run(self._context())
            held = self.queue.complete(self.claimed, metrics)
            return Outcome.SUCCEEDED if held else self._told_lost(self.claimed)
        except BaseException as error:
            return self._ended_by(self.claimed, error)

    def _ended_by(self, claimed: ClaimedJob, error: BaseException) -> Outcome:
        """Records that this ended the job; the outcome."""
        job = claimed.job
        if isinstance(error, JobStopped):
            released = self._through_another_session(claimed, JobQueue.release)
            return Outcome.RELEASED if released else self._told_lost(claimed)
        retry = not is_permanent(error)
        dead = not retry or job.attempt_count >= job.max_attempts
        logger.warning(
            "job %s (%s), attempt %d of %d, %s: %s: %s",
            job.job_id, job.job_type.value, job.attempt_count, job.max_attempts,
            "given up" if dead else "will be tried again", type(error).__name__, error,
        )  # fmt: skip
        if not self._through_another_session(claimed, partial(JobQueue.fail, error=error, retry=retry)):
            return self._told_lost(claimed)
        return Outcome.DEAD if dead else Outcome.FAILED

    def _context(self) -> JobContext:
        def heartbeat() -> bool:
            held = self.queue.heartbeat(self.claimed)
            if not held:
                self.lost.set()
            return held

        job, store = self.claimed.job, self.queue.store
        return JobContext(
            store,
            replace(job, input_json=completed_input(store, job.job_type, job.input_json, job.embedding_space_id)),
            self.claimed.run,
            heartbeat,
            lambda: self.lost.is_set() or self.told_to_stop.is_set(),
        )

    def _through_another_session(self, claimed: ClaimedJob, record: Callable[[JobQueue, ClaimedJob], bool]) -> bool:
        """Records an outcome in a session of its own: the error may have left the handler's in any state."""
        store = VectorStore(engine=self.queue.engine.another())
        try:
            return record(self.queue.over(store), claimed)
        finally:
            with suppress(Exception):
                store.close()

    def _told_lost(self, claimed: ClaimedJob) -> Outcome:
        logger.warning("job %s: the lease was lost, so its outcome is not recorded", claimed.job.job_id)
        return Outcome.LOST


class Heartbeats:
    """Extends the leases of the active jobs, over a queue of its own. `last` is when it last did, by time.time."""

    def __init__(self, queue: JobQueue, active: Callable[[], Iterable[ActiveJob]]):
        self._queue, self._active = queue, active
        self._lease_seconds = queue.lease.total_seconds()
        self._stopped = threading.Event()
        self.last = time.time()
        self._thread = threading.Thread(target=self._beat, name="heartbeats", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and closes its store."""
        self._stopped.set()
        self._thread.join()
        self._queue.store.close()

    def _beat(self) -> None:
        while not self._stopped.wait(self._lease_seconds / _PER_LEASE):
            self._extend(list(self._active()))
            self.last = time.time()

    def _extend(self, active: list[ActiveJob]) -> None:
        now, held = time.monotonic(), None
        try:
            held = self._queue.heartbeat_all([claimed for each in active for claimed in each.claims])
        except Exception as error:
            logger.warning("heartbeat: %s: %s", type(error).__name__, error)
        for each in active:
            claims = each.claims
            if held is not None and any(claimed.run.run_id in held for claimed in claims):
                each.extended = now
            elif (held is not None or now - each.extended > self._lease_seconds) and each.outcome is None:
                each.lost.set()
