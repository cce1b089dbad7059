"""Empty jobs a second: through the queue and through a worker, against the bare statements for the same rows.

The baseline writes, in two transactions a job, what a claim and an outcome write: an UPDATE of the job and an INSERT of
its run; an UPDATE of each. A worker's figure has its threads and its start in it. Every subject gets jobs of its own in
the same database file.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import duckdb
from support import best_of, parser, print_header, print_table, scratch_warehouse

from vector import jobs
from vector.contracts.models import JobType
from vector.engines.duckdb import DuckDBEngine
from vector.jobs import Handler
from vector.queue import JobQueue, JobRequest
from vector.store import VectorStore
from vector.worker import Worker, WorkerOptions

BARE = "bare statements"


def main() -> None:
    """Measures and prints jobs a second."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--jobs", type=int, default=500, metavar="N")
    given = arguments.parse_args()
    jobs.HANDLERS.update({each: Handler(each, lambda given: given, lambda context: {}) for each in JobType})
    print_header(f"The queue, {given.jobs:,} empty jobs")
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            rows = _measure(connection, given.jobs, given.repetitions)
    print_table(["what", "jobs/s", "of the bare statements"], rows)


def _measure(connection: duckdb.DuckDBPyConnection, count: int, repetitions: int) -> list[list]:
    store = VectorStore(engine=DuckDBEngine(connection, own=True))
    queue = JobQueue(store, "benchmark")

    def timed(work: Callable[[], None]) -> Callable[[], float]:
        def subject() -> float:
            queue.enqueue_many(JobRequest(JobType.DRIFT_TEST, {"n": n}) for n in range(count))
            started = time.perf_counter()
            work()
            seconds = time.perf_counter() - started
            ((left,),) = store.engine.query("select count(*) from vector.job where status <> 'SUCCEEDED'")
            if left:
                raise SystemExit(f"{left} jobs are not done")
            return seconds

        return subject

    subjects = {
        BARE: timed(lambda: _bare(connection)),
        "claim(1), complete": timed(lambda: _claim_and_complete(queue, 1)),
        "claim(8), complete": timed(lambda: _claim_and_complete(queue, 8)),
        "worker, 1 thread": timed(lambda: _work(store, 1)),
        "worker, 8 threads": timed(lambda: _work(store, 8)),
    }
    seconds = best_of(repetitions, subjects)
    return [[name, count / each, seconds[BARE] / each] for name, each in seconds.items()]


def _bare(connection: duckdb.DuckDBPyConnection) -> None:
    ids = connection.execute("select job_id, uuid()::varchar from vector.job where status = 'NEW'").fetchall()
    for job_id, run_id in ids:
        connection.execute("begin")
        connection.execute("update vector.job set status = 'RUNNING', attempt_count = 1 where job_id = ?", [job_id])
        connection.execute(
            "insert into vector.run (run_id, job_id, worker_id, status, started_utc) values (?, ?, 'bare', 'RUNNING',"
            " now()::timestamp)",
            [run_id, job_id],
        )
        connection.execute("commit")
        connection.execute("begin")
        connection.execute("update vector.job set status = 'SUCCEEDED' where job_id = ?", [job_id])
        connection.execute("update vector.run set status = 'SUCCEEDED' where run_id = ?", [run_id])
        connection.execute("commit")


def _claim_and_complete(queue: JobQueue, at_once: int) -> None:
    while claims := queue.claim(at_once):
        for claimed in claims:
            queue.complete(claimed)


def _work(store: VectorStore, threads: int) -> None:
    Worker(lambda: VectorStore(engine=store.engine.another()), WorkerOptions("benchmark", concurrency=threads)).run()


if __name__ == "__main__":
    main()
