"""One claimed job in the hands of a worker: the handler is run, and its outcome recorded under the lease."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from vector.contracts.json_column import UnreadableJson
from vector.contracts.models import UnknownMember
from vector.errors import ExtractionLimit, InvalidRecord, SpaceRefused, UnusableInput
from vector.jobs import JobContext, JobStopped, handler_of
from vector.ledger_io import ConstraintRefusal
from vector.queue import ClaimedJob, JobQueue
from vector.store import VectorStore

logger = logging.getLogger(__name__)

# Errors that every further attempt would meet: the input is wrong or too much, or another model answers under the
# space's name.
PERMANENT = (InvalidRecord, UnusableInput, SpaceRefused, ExtractionLimit)


def is_permanent(error: BaseException) -> bool:
    """Whether every further attempt would meet the error. A row that a constraint refuses may have been added by
    another session a moment before: the next attempt finds it."""
    return isinstance(error, PERMANENT) and not isinstance(error, ConstraintRefusal)


class Outcome(Enum):
    """How a job ended for its worker. LOST: the lease was gone, so nothing was written; UNRECORDED: the database could
    not be told, and the lease will run out."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DEAD = "dead"
    RELEASED = "released"
    LOST = "lost"
    UNRECORDED = "unrecorded"


@dataclass
class ActiveJob:
    """A job that is being done by a thread with a queue, and so a store, of its own.

    `lost` is set when the lease is gone, `told_to_stop`, which all jobs of a worker share, when the worker must end.
    `extended` is when the lease was last known to be ours, on the monotonic clock.
    """

    claimed: ClaimedJob
    queue: JobQueue
    told_to_stop: threading.Event
    lost: threading.Event = field(default_factory=threading.Event)
    extended: float = field(default_factory=time.monotonic)
    outcome: Outcome | None = None

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
            return Outcome.SUCCEEDED if held else self._told_lost()
        except JobStopped:
            return Outcome.RELEASED if self._through_another_session(JobQueue.release) else self._told_lost()
        except BaseException as error:
            retry = not is_permanent(error)
            dead = not retry or job.attempt_count >= job.max_attempts
            logger.warning(
                "job %s (%s), attempt %d of %d, %s: %s: %s",
                job.job_id, job.job_type.value, job.attempt_count, job.max_attempts,
                "given up" if dead else "will be tried again", type(error).__name__, error,
            )  # fmt: skip
            if not self._through_another_session(partial(JobQueue.fail, error=error, retry=retry)):
                return self._told_lost()
            return Outcome.DEAD if dead else Outcome.FAILED

    def _context(self) -> JobContext:
        def heartbeat() -> bool:
            held = self.queue.heartbeat(self.claimed)
            if not held:
                self.lost.set()
            return held

        return JobContext(
            self.queue.store,
            self.claimed.job,
            self.claimed.run,
            heartbeat,
            lambda: self.lost.is_set() or self.told_to_stop.is_set(),
        )

    def _through_another_session(self, record: Callable[[JobQueue, ClaimedJob], bool]) -> bool:
        """Records an outcome in a session of its own: the error may have left the handler's in any state."""
        store = VectorStore(engine=self.queue.engine.another())
        try:
            return record(self.queue.over(store), self.claimed)
        finally:
            with suppress(Exception):
                store.close()

    def _told_lost(self) -> Outcome:
        logger.warning("job %s: the lease was lost, so its outcome is not recorded", self.claimed.job.job_id)
        return Outcome.LOST
