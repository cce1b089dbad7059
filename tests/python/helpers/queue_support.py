"""What the tests of the queue share: an empty queue in memory, a clock to turn, handlers that do next to nothing."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import duckdb

from vector.contracts.models import JobType
from vector.engines.duckdb.engine import DuckDBEngine
from vector.errors import InvalidRecord
from vector.jobs.context import JobStopped
from vector.jobs.handlers import HANDLERS, Handler
from vector.jobs.queue import JobQueue
from vector.store import VectorStore

EFFECT = "queue_test_effect"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


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
    kept = dict(HANDLERS)
    HANDLERS.update({each: Handler(each, validate, run) for each in JobType})
    try:
        yield
    finally:
        HANDLERS.clear()
        HANDLERS.update(kept)


@contextmanager
def memory_store(database_path):
    """A store over a copy of a built database in memory, without any job."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{database_path}' as built (read_only)")
        connection.execute("copy from database built to memory")
        connection.execute("detach built")
        empty_queue(connection)
        opened = VectorStore(engine=DuckDBEngine(connection))
        create_effects(opened.engine)
        yield opened


def empty_queue(connection):
    """Deletes every job with its runs. Each statement on its own: DuckDB sees a deleted child until its transaction
    ends."""
    for table in ("embedding_failure", "embedding", "embedding_canary", "run", "job"):
        connection.execute(f"delete from vector.{table}")


def do(context):
    """What the test's jobs do, as their input says: write a row, after some seconds, or fail."""
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
    return {"written": store_effect(context.store.engine, given["n"], context.run.run_id)}


def store_effect(engine, n, run_id):
    """Writes the one row that a job is for, unless it is there; the number of rows written."""
    table = engine.table(EFFECT)
    return engine.execute(
        f"insert into {table} (n, run_id) select cast(? as integer), cast(? as varchar(36))"
        f" where not exists (select 1 from {table} where n = ?)",
        [n, run_id, n],
    )


def create_effects(engine):
    """The table of what the test's jobs write. Its key is what makes doing a job twice write once."""
    engine.execute(f"create table {engine.table(EFFECT)} (n integer not null primary key, run_id varchar(36) not null)")


def effects(engine):
    """The numbers of the jobs that have written their row, as often as they have."""
    return sorted(n for (n,) in engine.query(f"select n from {engine.table(EFFECT)}"))


def queue(store, clock, worker="worker-1", **options):
    """The queue as a worker sees it."""
    return JobQueue(store, worker, **{"lease_seconds": 60, "clock": clock, **options})
