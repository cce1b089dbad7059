"""CHUNK_SOURCE jobs of many pending sources, done together: the view `document` is read once for all of them, and what
is written is written for many at a time. Alone, each would read the whole view (benchmarks/pending_sources.py)."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from vector.chunking.sources import read_documents
from vector.contracts.models import JobType, VectorJob
from vector.jobs.active_jobs import ActiveJob, Outcome
from vector.jobs.context import JobStopped
from vector.jobs.handlers.chunk_source import run_many
from vector.jobs.pending_sources import dedupe_key, job_input
from vector.jobs.queue import ClaimedJob

# The most sources of one reading, for the parameters that SQL Server takes, and how many the first one has.
MOST_SOURCES = 2000
FIRST_SOURCES = 20
# Code points of the payloads that one reading should bring.
_CHARACTERS = 32_000_000
# How long the work after a reading should take: so many times the reading, so many seconds at least. What takes long
# is thus shared among threads and workers.
_TIMES_READING = 5.0
_LEAST_SECONDS = 10.0
# Sources of one transaction.
_STORED_TOGETHER = 100


def is_of_pending_source(job: VectorJob) -> bool:
    """Whether the job is one of those that `enqueue --pending` queues, as it queues it."""
    source_id = job.input_json.get("source_id") if isinstance(job.input_json, dict) else None
    return (
        job.job_type is JobType.CHUNK_SOURCE
        and isinstance(source_id, str)
        and job.input_json == job_input(source_id)
        and job.dedupe_key == dedupe_key(source_id)
    )


def next_count(count: int, size: int, reading: float, working: float) -> int:
    """How many sources the next reading should have, after one of `count` with so many code points that took `reading`
    seconds, and their work `working`."""
    wanted = max(_LEAST_SECONDS, _TIMES_READING * reading)
    by_time = count * wanted / max(working, 1e-3)
    by_size = count * _CHARACTERS / max(size, 1)
    return max(1, min(MOST_SOURCES, int(by_time), int(by_size)))


@dataclass
class ActiveSources(ActiveJob):
    """Jobs of pending sources that one thread does: `batch`, of which `claimed` is the first. A lease that was lost is
    found out when the outcome is recorded; until then the work is done as for the others."""

    batch: list[ClaimedJob] = field(default_factory=list)
    sources_next: int = FIRST_SOURCES
    _left: dict[str, ClaimedJob] = field(default_factory=dict)
    _outcomes: Counter[Outcome] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._left = {claimed.run.run_id: claimed for claimed in self.batch}

    @property
    def claims(self) -> list[ClaimedJob]:
        """The claims that have no outcome yet."""
        return list(self._left.values())

    @property
    def outcomes(self) -> Counter[Outcome]:
        """How its jobs ended."""
        return self._outcomes

    def _attempt(self) -> Outcome:
        try:
            self._work()
        except BaseException as error:
            for claimed in self.claims:
                self._end(claimed, self._ended_by(claimed, error))
        return Outcome.SUCCEEDED if self._outcomes.keys() <= {Outcome.SUCCEEDED, Outcome.LOST} else Outcome.FAILED

    def _work(self) -> None:
        store, started = self.queue.store, time.monotonic()
        documents = read_documents(store, [_source_id(claimed) for claimed in self.batch])
        reading = time.monotonic() - started
        for start in range(0, len(self.batch), _STORED_TOGETHER):
            some = self.batch[start : start + _STORED_TOGETHER]
            ended = run_many(store, documents, [_source_id(claimed) for claimed in some], self._must_stop)
            done = [(claimed, ended[_source_id(claimed)]) for claimed in some]
            succeeded = [(claimed, each) for claimed, each in done if isinstance(each, dict)]
            held = self.queue.complete_many(succeeded)
            for claimed, _ in succeeded:
                kept = claimed.run.run_id in held
                self._end(claimed, Outcome.SUCCEEDED if kept else self._told_lost(claimed))
            for claimed, each in done:
                if isinstance(each, BaseException):
                    self._end(claimed, self._ended_by(claimed, each))
            if self._must_stop():
                raise JobStopped
        size = sum(len(each[0].content or "") for each in documents.values() if isinstance(each, tuple))
        self.sources_next = next_count(len(self.batch), size, reading, time.monotonic() - started - reading)

    def _end(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        self._outcomes[outcome] += 1
        self._left.pop(claimed.run.run_id, None)

    def _must_stop(self) -> bool:
        return self.lost.is_set() or self.told_to_stop.is_set()


def _source_id(claimed: ClaimedJob) -> str:
    return str(claimed.job.input_json["source_id"])
