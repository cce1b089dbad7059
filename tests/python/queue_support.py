"""What the tests of the queue share: an empty queue in memory, a clock to turn, handlers that do next to nothing."""

import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import duckdb

from vector import jobs
from vector.contracts.models import JobType, VectorSourceRegistry
from vector.engines.duckdb import DuckDBEngine
from vector.errors import InvalidRecord
from vector.jobs import Handler, JobStopped
from vector.queue import JobQueue
from vector.store import VectorStore

SOURCE_TYPE = "queue_test"
NOON = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)


class Clock:
    """The time of the test."""

    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now

    def forward(self, seconds):
        self.now += timedelta(seconds=seconds)


def validate(input_json):
    """Takes any input but one that says that it is bad."""
    if input_json.get("bad"):
        raise InvalidRecord("bad: is refused")
    return input_json


@contextmanager
def handlers(run=lambda context: {}):
    """The same handler for every kind of job, instead of the real ones."""
    kept = dict(jobs.HANDLERS)
    jobs.HANDLERS.update({each: Handler(each, validate, run) for each in JobType})
    try:
        yield
    finally:
        jobs.HANDLERS.clear()
        jobs.HANDLERS.update(kept)


@contextmanager
def memory_store(database_path):
    """A store over a copy of a built database in memory, without any job."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{database_path}' as built (read_only)")
        connection.execute("copy from database built to memory")
        connection.execute("detach built")
        empty_queue(connection)
        yield VectorStore(engine=DuckDBEngine(connection))


def empty_queue(connection):
    """Deletes every job with its runs. Each statement on its own: DuckDB sees a deleted child until its transaction
    ends."""
    for table in ("embedding_failure", "embedding", "run", "job"):
        connection.execute(f"delete from vector.{table}")


def do(context):
    """What the test's jobs do, as their input says: store a source, after some seconds, or fail."""
    given = context.job.input_json
    if given.get("seconds"):
        until = time.monotonic() + given["seconds"]
        while time.monotonic() < until and not (given.get("polite") and context.should_stop()):
            time.sleep(0.01)
        if given.get("polite") and context.should_stop():
            raise JobStopped
    if given.get("fails_until", 0) >= context.job.attempt_count:
        raise ValueError(f"attempt {context.job.attempt_count} of job {given['n']} fails")
    if given.get("hopeless"):
        raise InvalidRecord("no attempt will do")
    source = VectorSourceRegistry(f"job:{given['n']}", SOURCE_TYPE, {"run": context.run.run_id})
    return {"written": context.store.save_source(source).inserted}


def queue(store, clock, worker="worker-1", **options):
    """The queue as a worker sees it."""
    return JobQueue(store, worker, **{"lease_seconds": 60, "clock": clock, **options})
