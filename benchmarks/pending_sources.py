"""Payload tables: sources a second from `source_pending` through the queue and CHUNK_SOURCE into the ledgers.

Pages of HTML under a chunk policy of method `extract`. Queueing is measured against one bare INSERT of the same jobs;
working the jobs against the extraction alone: the same payloads read by one extraction process and cut, nothing stored
and no queue.
"""

from __future__ import annotations

import json
import time

import duckdb
import pyarrow as pa
from support import parser, print_header, print_table, scratch_warehouse, text_of

from vector.chunking.extraction_process import ExtractionProcess
from vector.chunking.limits import ExtractionLimits
from vector.chunking.policies import named_policy
from vector.chunking.sources import SourceDocument, cut
from vector.contracts.models import JobType
from vector.engines.duckdb.engine import DuckDBEngine
from vector.jobs.active_jobs import Outcome
from vector.jobs.pending_sources import enqueue_pending
from vector.jobs.queue import JobQueue
from vector.jobs.worker import Worker, WorkerOptions
from vector.store import VectorStore

POLICY = (
    "insert into vector.chunk_policy (policy_version, source_type, chunk_size, overlap, max_chunks_per_source,"
    " is_active, method) values ('html', 'page', 800, 100, 1000, true, 'extract')"
)
JOBS = """
    create or replace temporary table bare as
    select uuid()::varchar as job_id, 'CHUNK_SOURCE' as job_type,
        to_json({source_id: source_id})::varchar as input_json,
        'NEW' as status, 100 as priority, 3 as max_attempts, 0 as attempt_count, now()::timestamp as available_utc,
        now()::timestamp as created_utc, sha256(source_id) as dedupe_key
    from vector.source_pending
"""


def main() -> None:
    """Measures and prints sources a second."""
    arguments = parser(__doc__, repetitions=1)
    arguments.add_argument("--sources", type=int, default=20_000, metavar="N", help="queued")
    arguments.add_argument("--worked", type=int, default=1_000, metavar="N", help="of these, done by each worker")
    arguments.add_argument("--bytes", type=int, default=4_000, metavar="N", help="of a payload's text")
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="of a worker")
    given = arguments.parse_args()
    print_header(f"Pending sources, {given.sources:,} payloads of {given.bytes:,} bytes of text")
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            payloads = _fill(connection, given.sources, given.bytes)
            store = VectorStore(engine=DuckDBEngine(connection, own=True))
            rows = [*_queueing(store, given.sources), *_working(store, payloads[: given.worked], given.threads)]
    print_table(["what", "sources/s", "of the baseline", "minutes for 100,000"], rows)


def _fill(connection: duckdb.DuckDBPyConnection, count: int, size: int) -> list[str]:
    texts = [text_of("ASCII", size, seed) for seed in range(50)]
    payloads = [
        f"<html><body><h1>Page {n}</h1><p>{texts[n % 50].replace('. ', '.</p><p>')} {n}</p></body></html>"
        for n in range(count)
    ]
    table = pa.table(
        {
            "page_id": [f"{n:08}" for n in range(count)],
            "payload_json": [json.dumps({"body": {"text": payload}, "lang": "en", "tags": []}) for payload in payloads],
        }
    )
    connection.register("filled", table)
    connection.execute("insert into bench.page select page_id, payload_json, now()::timestamp from filled")
    connection.unregister("filled")
    connection.execute(POLICY)
    return payloads


def _queueing(store: VectorStore, count: int) -> list[list]:
    started = time.perf_counter()
    store.engine.execute(JOBS)
    store.engine.execute("create or replace temporary table bare_job as select * from bare")
    bare = time.perf_counter() - started
    queue = JobQueue(store, "benchmark")
    started = time.perf_counter()
    queued = enqueue_pending(queue)
    seconds = time.perf_counter() - started
    if queued.queued != count:
        raise SystemExit(f"queued {queued.queued}, not {count}")
    started = time.perf_counter()
    if enqueue_pending(queue).queued:
        raise SystemExit("a second time queued something")
    again = time.perf_counter() - started
    return [
        _row("bare insert of the jobs", count, bare, bare),
        _row("enqueue --pending", count, seconds, bare),
        _row("enqueue --pending, all queued", count, again, bare),
    ]


def _working(store: VectorStore, payloads: list[str], threads: list[int]) -> list[list]:
    policy = named_policy(store, "html")
    reader = ExtractionProcess(ExtractionLimits.from_environment())
    reader.extract_text(payloads[0], "html", None, "text")  # starts the process
    started = time.perf_counter()
    for n, payload in enumerate(payloads):
        text = reader.extract_text(payload, "html", None, "text")
        cut(SourceDocument(f"page:{n}", "page", {}, text), policy)
    alone = time.perf_counter() - started
    rows = [_row("extraction and cutting alone", len(payloads), alone, alone)]
    for concurrency in threads:
        # Only so many are due.
        store.engine.execute(
            "update vector.job set available_utc = now()::timestamp + interval 1 day where status = 'NEW'"
        )
        store.engine.execute(
            "update vector.job set available_utc = now()::timestamp - interval 1 day where job_id in"
            f" (select job_id from vector.job where status = 'NEW' limit {len(payloads)})"
        )
        options = WorkerOptions("benchmark", concurrency=concurrency, job_types=(JobType.CHUNK_SOURCE,))
        worker = Worker(lambda: VectorStore(engine=store.engine.another()), options)
        started = time.perf_counter()
        worker.run()
        seconds = time.perf_counter() - started
        if worker.counts[Outcome.SUCCEEDED] != len(payloads):
            raise SystemExit(f"{worker.counts}, not {len(payloads)}")
        rows.append(_row(f"worker, {concurrency} threads", len(payloads), seconds, alone))
    return rows


def _row(what: str, count: int, seconds: float, baseline: float) -> list:
    return [what, count / seconds, baseline / seconds, 100_000 / (count / seconds) / 60]


if __name__ == "__main__":
    main()
