"""Empty jobs a second: through the queue and through a worker, against the bare statements for the same rows.

The baseline writes, in two transactions a job, what a claim and an outcome write: an UPDATE of the job and an INSERT of
its run; an UPDATE of each. A worker's figure has its threads and its start in it. Every subject gets jobs of its own in
the same database file.

Then EMBED_CHUNKS: the same chunks embedded by the in-process transformer, by one run of `vector embed`, and by jobs
of so many chunks through one worker, each in a new and pinned space. Processor time counts all threads, and moves less
with what else the machine does.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import duckdb
from support import best_of, fill_chunks, parser, print_header, print_table, scratch_warehouse

from vector.contracts.models import EmbeddingSpace, JobType
from vector.embedding import EmbedOptions, embed_space
from vector.engines.duckdb.engine import DuckDBEngine
from vector.jobs.handlers import HANDLERS, Handler
from vector.jobs.queue import JobQueue, JobRequest
from vector.jobs.worker import Worker, WorkerOptions
from vector.store import VectorStore

BARE = "bare statements"
TRANSFORMER = {
    "provider": "onnx",
    "model_name": "all-MiniLM-L6-v2",
    "dimensions": 384,
    "preprocess_policy": {"truncation": "end", "max_tokens": 256},
}


def main() -> None:
    """Measures and prints jobs a second."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--jobs", type=int, default=500, metavar="N")
    arguments.add_argument("--chunks", type=int, default=400, metavar="N", help="embedded")
    arguments.add_argument("--chunks-a-job", type=int, default=100, metavar="N")
    given = arguments.parse_args()
    HANDLERS.update({each: Handler(each, lambda given: given, lambda context: {}) for each in JobType})
    print_header(f"The queue, {given.jobs:,} empty jobs")
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            rows = _measure(connection, given.jobs, given.repetitions)
    print_table(["what", "jobs/s", "of the bare statements"], rows)
    HANDLERS.clear()
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            fill_chunks(connection, given.chunks, 250)  # about 120 tokens each
            rows = _embedding(connection, given.chunks, given.chunks_a_job, given.repetitions)
    print_table(["EMBED_CHUNKS", "seconds", "of one run", "processor seconds", "of one run"], rows)


def _embedding(connection: duckdb.DuckDBPyConnection, count: int, a_job: int, repetitions: int) -> list[list]:
    store = VectorStore(engine=DuckDBEngine(connection, own=True))
    queue = JobQueue(store, "benchmark")
    chunk_ids = [chunk.chunk_id for chunk in store.list_chunks()][:count]
    spaces = 0

    def new_space() -> EmbeddingSpace:
        nonlocal spaces
        spaces += 1
        # The description is no part of a space's identity, the reference of its transform is.
        space = store.get_or_create_embedding_space(**TRANSFORMER, transform_ref=f"benchmark/{spaces}")
        embed_space(store, space, EmbedOptions(chunk_ids=chunk_ids[:1]))  # pins it
        return space

    def one_run() -> tuple[float, float]:
        space = new_space()
        started, used = time.perf_counter(), time.process_time()
        embed_space(store, space, EmbedOptions(chunk_ids=chunk_ids))
        return time.perf_counter() - started, time.process_time() - used

    def by_jobs() -> tuple[float, float]:
        space = new_space()
        pieces = [chunk_ids[start : start + a_job] for start in range(0, len(chunk_ids), a_job)]
        queue.enqueue_many(
            JobRequest(JobType.EMBED_CHUNKS, {"space_key": space.space_key, "chunk_ids": piece}) for piece in pieces
        )
        started, used = time.perf_counter(), time.process_time()
        _work(store, 1)
        taken = time.perf_counter() - started, time.process_time() - used
        ((left,),) = store.engine.query(
            "select count(*) from vector.embedding_pending where embedding_space_id = ?"
            f" and chunk_id in ({', '.join('?' * len(chunk_ids))})",
            [space.embedding_space_id, *chunk_ids],
        )
        if left:
            raise SystemExit(f"{left} chunks are not embedded")
        return taken

    taken: dict[str, list[tuple[float, float]]] = {"one run": [], f"jobs of {a_job} chunks": []}
    for _ in range(repetitions):
        for name, subject in zip(taken, (one_run, by_jobs), strict=True):
            taken[name].append(subject())
    best = {name: tuple(min(times) for times in zip(*each, strict=True)) for name, each in taken.items()}
    wall, processor = best["one run"]
    return [[name, each[0], each[0] / wall, each[1], each[1] / processor] for name, each in best.items()]


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
