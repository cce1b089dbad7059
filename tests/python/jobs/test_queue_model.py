"""The queue against a model of it: whatever workers, operators, crashes and the clock do, in whatever order, no job is
lost, none has two live leases, and attempts, dead letters and runs are exactly the model's.

A crash is a worker that does no more; what it holds stays in `claims`, from where any later step may take it, as a
worker would that was only slow.
"""

import random
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from queue_support import Clock, empty_queue, handlers, memory_store, queue

from vector.contracts.models import JobType

LEASE = 60
TELLS = ("heartbeat", "complete", "fail", "fail for good", "release")
OPEN = ("NEW", "RUNNING", "FAILED")
EMBED = JobType.EMBED_CHUNKS
TYPES = (EMBED, JobType.DRIFT_TEST)


@dataclass
class Job:
    """What the model knows of a job. `lease` is the run that holds it; `runs` how its runs ended, None while open."""

    job_type: JobType
    priority: int
    available: object
    most: int
    key: str | None
    status: str = "NEW"
    attempts: int = 0
    lease: str | None = None
    expires: object = None
    cancelled: bool = False
    lost: bool = False
    runs: dict = field(default_factory=dict)

    def end(self, status, run_status):
        self.runs[self.lease] = run_status
        self.status, self.lease, self.expires = status, None, None


class QueueMachine(RuleBasedStateMachine):
    """Three workers on one queue."""

    jobs, claims = Bundle("jobs"), Bundle("claims")
    store = None

    @initialize(target=jobs)
    def begin(self):
        empty_queue(self.store.engine.connection)
        self.clock = Clock()
        self.workers = [queue(self.store, self.clock, f"worker-{n}", lease_seconds=LEASE) for n in range(3)]
        self.model: dict[str, Job] = {}
        return multiple(*(self.enqueue(EMBED, 1, 0, 2, None) for _ in range(3)))

    def open_with(self, key):
        return next((job_id for job_id, job in self.model.items() if job.key == key and job.status in OPEN), None)

    def lapse(self):
        """What a claim does first."""
        for job in self.model.values():
            if job.status == "RUNNING" and job.expires <= self.clock.now:
                dead = job.attempts >= job.most or (job.lost and job.attempts > 1)
                job.lost = True
                job.end("DEADLETTER" if dead else "FAILED", "FAILED")
                job.available = job.available if dead else self.clock.now

    # The queue

    @rule(
        target=jobs, job_type=st.sampled_from(TYPES), priority=st.integers(1, 3), delay=st.sampled_from([0, 0, 30, 90]),
        most=st.integers(1, 4), key=st.sampled_from([None, None, "a", "b"]),
    )  # fmt: skip
    def enqueue(self, job_type, priority, delay, most, key):
        available = self.clock.now + timedelta(seconds=delay)
        made = self.workers[0].enqueue(
            job_type, {}, priority=priority, available_utc=available, max_attempts=most, dedupe_key=key
        )
        there = key and self.open_with(key)
        if there:
            assert made.job_id == there
        else:
            assert made.job_id not in self.model
            self.model[made.job_id] = Job(job_type, priority, available, most, key)
        return made.job_id

    @rule(
        target=claims, worker=st.integers(0, 2), count=st.integers(1, 4), types=st.sampled_from([(), TYPES[:1], TYPES])
    )
    def claim(self, worker, count, types):
        self.lapse()
        due = sorted(
            (-job.priority, job.available, job_id)
            for job_id, job in self.model.items()
            if job.status in ("NEW", "FAILED") and job.available <= self.clock.now
            and (not types or job.job_type in types)
        )  # fmt: skip
        claimed = self.workers[worker].claim(count, types)
        assert [each.job.job_id for each in claimed] == [job_id for _, _, job_id in due[:count]]
        for each in claimed:
            job = self.model[each.job.job_id]
            job.status, job.attempts, job.lease = "RUNNING", job.attempts + 1, each.run.run_id
            job.expires = self.clock.now + timedelta(seconds=LEASE)
            job.runs[job.lease] = None
            assert each.job.attempt_count == job.attempts
        return multiple(*((worker, each) for each in claimed))

    @rule(target=claims, worker=st.integers(0, 2))
    def crash(self, worker):
        """Whoever holds anything is silent for the time of a lease, and this worker takes it all."""
        self.clock.forward(LEASE + 1)
        return self.claim(worker, 9, ())

    # What a worker does with what it has claimed, or believes to have

    def held(self, claim):
        """The model's job, where the claim still holds its lease."""
        job = self.model[claim.job.job_id]
        return job if job.lease == claim.run.run_id else None

    @rule(target=claims, claim=claims, worker=st.integers(0, 2), what=st.sampled_from(TELLS))
    def tell_late(self, claim, worker, what):
        """After its job was taken back, and most often given to another."""
        taken = self.crash(worker)
        self.tell(claim, what)
        return taken

    @rule(claim=claims, what=st.sampled_from(TELLS))
    def tell(self, claim, what):
        worker, claimed = claim
        teller, job = self.workers[worker], self.held(claimed)
        told = {
            "heartbeat": lambda: teller.heartbeat(claimed),
            "complete": lambda: teller.complete(claimed, {"done": 1}),
            "fail": lambda: teller.fail(claimed, "no"),
            "fail for good": lambda: teller.fail(claimed, "no", retry=False),
            "release": lambda: teller.release(claimed),
        }[what]()
        assert told == (job is not None)
        if job is None:
            hypothesis.event(f"{what} without a lease")
        elif what == "heartbeat":
            job.expires = self.clock.now + timedelta(seconds=LEASE)
        elif what == "complete":
            job.end("SUCCEEDED", "SUCCEEDED")
        elif what == "release":
            job.end("NEW", "FAILED")
            job.attempts -= 1
        elif what == "fail for good" or job.attempts >= job.most:
            job.end("DEADLETTER", "FAILED")
            job.lost = False
        else:
            job.end("FAILED", "FAILED")
            job.lost = False
            # By chance within bounds, so the model takes it over.
            found = self.store.get_job(claimed.job.job_id).available_utc
            longest = 10 * 2 ** (job.attempts - 1)
            assert longest / 2 <= (found - self.clock.now).total_seconds() <= longest
            job.available = found

    # What people do

    @rule(job_id=jobs)
    def cancel(self, job_id):
        job = self.model[job_id]
        assert self.workers[0].cancel(job_id) == (job.status in OPEN)
        if job.status in OPEN:
            if job.lease:
                job.end("DEADLETTER", "FAILED")
            job.status, job.cancelled = "DEADLETTER", True

    def may_retry(self, job):
        return job.status in ("FAILED", "DEADLETTER") and self.open_with(job.key or object()) in (None, self.id_of(job))

    def id_of(self, job):
        return next(job_id for job_id, each in self.model.items() if each is job)

    def retried(self, job):
        job.status, job.attempts, job.available, job.cancelled = "NEW", 0, self.clock.now, False

    @rule(job_id=jobs)
    def retry(self, job_id):
        job = self.model[job_id]
        allowed = self.may_retry(job)
        assert self.workers[0].retry(job_id) == allowed
        if allowed:
            self.retried(job)

    @rule()
    def requeue_dead(self):
        dead = {job_id for job_id, job in self.model.items() if job.status == "DEADLETTER" and not job.cancelled}
        requeued = self.workers[0].requeue_dead()
        assert set(requeued) <= dead
        for job_id in requeued:
            assert self.may_retry(self.model[job_id])
            self.retried(self.model[job_id])
        assert not any(self.may_retry(self.model[job_id]) for job_id in dead - set(requeued))

    @rule(seconds=st.sampled_from([1, 15, 59, 60, 61, 7200, -30]))
    def time_passes(self, seconds):
        """And it may jump, back too."""
        self.clock.forward(seconds)

    @invariant()
    def the_ledgers_are_the_model(self):
        if not hasattr(self, "model"):
            return
        found = {job.job_id: job for job in self.store.list_jobs()}
        assert found.keys() == self.model.keys()
        runs: dict[str, dict] = {job_id: {} for job_id in found}
        for run in self.store.list_runs():
            runs[run.job_id][run.run_id] = None if run.status.value == "RUNNING" else run.status.value
            assert (run.completed_utc is None) == (run.status.value == "RUNNING")
        for job_id, job in self.model.items():
            is_ = found[job_id]
            assert (is_.status.value, is_.attempt_count) == (job.status, job.attempts)
            assert (is_.locked_run_id, is_.lease_expires_utc) == (job.lease, job.expires)
            assert is_.available_utc == job.available
            assert runs[job_id] == job.runs
            assert list(job.runs.values()).count(None) == (job.status == "RUNNING"), "one live lease at most"
            assert job.attempts <= job.most
            assert (is_.completed_utc is None) == (job.status in OPEN)
        keys = [job.key for job in self.model.values() if job.key and job.status in OPEN]
        assert len(keys) == len(set(keys))


@pytest.fixture(scope="module")
def store(built_project):
    with handlers(), memory_store(built_project.database_path) as opened:
        yield opened


def repeatable_id():
    """A random UUID, of the random numbers that hypothesis seeds: among equal jobs the id decides who is first, so that
    with others an example would not be the same twice."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


@pytest.mark.long
def test_the_queue_is_its_model(store, monkeypatch):
    for module in ("vector.contracts.models", "vector.engines.duckdb.queue"):
        monkeypatch.setattr(f"{module}.new_id", repeatable_id)
    machine = type("BoundMachine", (QueueMachine,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
