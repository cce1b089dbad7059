"""The step of `refresh` between build and embed: CHUNK_SOURCE of what is pending, where a policy says `extract`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from vector.chunking.limits import ExtractionLimits
from vector.contracts.models import JobType
from vector.engines.base import with_queue
from vector.jobs.active_jobs import Outcome
from vector.jobs.pending_sources import KEY_PREFIX, Queued, enqueue_pending, extracts, queued_text
from vector.jobs.queue import JobQueue
from vector.jobs.worker import Worker, WorkerOptions
from vector.store import VectorStore
from vector.store.runs import this_worker
from vector.wording import counted

# Sources at a time.
_CONCURRENCY = min(4, os.cpu_count() or 1)
# How long jobs may go on after Ctrl-C or SIGTERM; then they are put back.
_DRAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Extracted:
    """What was queued, and how the jobs ended: `failed` are tried again, `dead` are given up."""

    queued: Queued
    succeeded: int
    failed: int
    dead: int

    @property
    def error(self) -> str | None:
        """What went wrong, in a line."""
        wrong = self.failed + self.dead
        if not wrong:
            return None
        return f"extract: {counted(wrong, 'payload')} could not be read; see `vector jobs list --types CHUNK_SOURCE`"

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            **self.queued.to_dict(), "succeeded": self.succeeded, "failed": self.failed, "dead": self.dead
        }  # fmt: skip

    def text(self) -> str:
        """`extract: queued 3 jobs: 3 page; 2 succeeded, 1 failed`."""
        counts = {"succeeded": self.succeeded, "failed": self.failed, "dead": self.dead}
        ended = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "none was due"
        return f"extract: {queued_text(self.queued)}; {ended}"


def extract_pending(store: VectorStore) -> Extracted | None:
    """Queues a job for each pending source, and does those jobs here, those of earlier times included; None where no
    policy is of method `extract`. Other CHUNK_SOURCE jobs are left to the workers that they are meant for.

    Raises ConfigurationError for a limit that is none.
    """
    if not extracts(store):
        return None
    ExtractionLimits.from_environment()
    queued = enqueue_pending(JobQueue(store, this_worker()))
    options = WorkerOptions(
        this_worker(),
        concurrency=_CONCURRENCY,
        job_types=(JobType.CHUNK_SOURCE,),
        key_prefix=KEY_PREFIX,
        drain_seconds=_DRAIN_SECONDS,
    )
    worker = Worker(lambda: VectorStore(engine=with_queue(store.engine).another()), options)
    worker.run()
    counts = worker.counts
    return Extracted(queued, counts[Outcome.SUCCEEDED], counts[Outcome.FAILED], counts[Outcome.DEAD])


def planned(store: VectorStore) -> Queued | None:
    """What `extract_pending` would queue."""
    return enqueue_pending(JobQueue(store, this_worker()), dry_run=True) if extracts(store) else None
