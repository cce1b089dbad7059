"""Runs a job's handler as a worker would, with a recorded run and without a queue."""

from dataclasses import dataclass, field

from vector.contracts.models import JobType, VectorJob, VectorRun
from vector.jobs.context import JobContext
from vector.store import VectorStore


@dataclass
class StandInContext:
    """What a handler sees of its worker, which must end after so many questions whether it must (`stop_after`)."""

    store: VectorStore
    job: VectorJob
    run: VectorRun
    stop_after: int | None = None
    heartbeats: list[int] = field(default_factory=list)
    asked: int = 0

    def heartbeat(self):
        self.heartbeats.append(len(self.heartbeats) + 1)

    keep_going = JobContext.keep_going

    def should_stop(self):
        self.asked += 1
        return self.stop_after is not None and self.asked >= self.stop_after


def context_of(store, job_type, input_json, stop_after=None):
    """A context over a saved job and run."""
    job = VectorJob.create_new(JobType(job_type), input_json, by_hand_flag=True)
    store.save_job(job)
    run = VectorRun.create_new(job.job_id, "test:1")
    store.save_run(run)
    return StandInContext(store, job, run, stop_after)


def run_job(store, handler, job_type, input_json):
    """The metrics of a handler over an input, validated as at enqueue."""
    return handler.run(context_of(store, job_type, handler.validate(input_json)))
