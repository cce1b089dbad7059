"""What a handler works with, and how it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vector.contracts.models import VectorJob, VectorRun
from vector.store import VectorStore


class JobStopped(Exception):
    """Raised by a handler that ends early because `should_stop` told it to: the job goes back into the queue, and the
    attempt does not count."""


@dataclass(frozen=True)
class JobContext:
    """What a handler works with: a store of its thread's own, the job, and the run that its worker will close.

    `heartbeat` extends the lease, and says whether it is still held; the worker does so too, all the time.
    `should_stop` is true when the lease is lost or the worker must end: the handler then raises JobStopped, and nothing
    that it has stored is lost.
    """

    store: VectorStore
    job: VectorJob
    run: VectorRun
    heartbeat: Callable[[], bool]
    should_stop: Callable[[], bool]

    def keep_going(self, done: str) -> None:
        """What a handler of several steps calls between two of them: extends the lease. Raises JobStopped, which says
        what is done, when the worker must end or has lost the lease."""
        self.heartbeat()
        if self.should_stop():
            raise JobStopped(f"stopped after {done}")
