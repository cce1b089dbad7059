"""`worker`: does what is queued."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vector.chunking.limits import ExtractionLimits
from vector.commands.output import leave, say, terminating
from vector.commands.shared import (
    add_command,
    job_types,
    lease_seconds,
    named_target,
    open_store,
    pause_seconds,
    positive,
    print_result,
    seconds,
)
from vector.contracts.models import JobType
from vector.jobs.active_jobs import Outcome
from vector.jobs.queue import LEASE_SECONDS, Backoff, JobQueue
from vector.jobs.worker import Worker, WorkerOptions
from vector.store import VectorStore
from vector.store.opening import Renewal, open_to_write, renew_copy
from vector.store.runs import this_worker
from vector.wording import one_line

HELP = """examples:
  %(prog)s --once                   do what is due, then end; for cron, or after dbt build
  %(prog)s --loop --concurrency 4   poll until SIGTERM or Ctrl-C; for systemd, Kubernetes
  %(prog)s --loop --types EMBED_CHUNKS --health-file /run/vector/health.json
  %(prog)s --dry-run                say what would be claimed, and do nothing

Stopped by SIGTERM (on Windows: Ctrl-Break) or Ctrl-C, it begins nothing more, gives the running jobs --drain-seconds to
end, then puts them back into the queue, and exits with 143 or 130. A second signal ends the wait. Exit code 1: a job
was given up.

With --json, one object: {"worker_id": ..., "succeeded": n, "failed": n, "dead": n, "released": n, "lost": n,
"unrecorded": n}; with --dry-run {"jobs": [...]}."""


def add_to(commands: Any) -> None:
    """Declares `worker`."""
    worker = add_command(commands, "worker", _worker, "do what is queued", HELP)
    mode = worker.add_mutually_exclusive_group(required=True)
    mode.add_argument("--once", action="store_true", help="end when nothing is due")
    mode.add_argument("--loop", action="store_true", help="poll until stopped")
    mode.add_argument("--dry-run", action="store_true", help="say what is due, and do nothing")
    worker.add_argument("--concurrency", type=positive, default=1, metavar="N", help="jobs at a time (default 1)")
    worker.add_argument(
        "--types", type=job_types, action="extend", default=[], metavar="T",
        help=f"only these kinds, separated by commas: {', '.join(each.value for each in JobType)}",
    )  # fmt: skip
    worker.add_argument("--worker-id", metavar="ID", help="name in the ledgers (default <host>:<process>)")
    worker.add_argument(
        "--poll-seconds", type=pause_seconds, default=5.0, metavar="S", help="pause when nothing is due (default 5)"
    )
    worker.add_argument(
        "--lease-seconds", type=lease_seconds, default=LEASE_SECONDS, metavar="S",
        help=f"a job of a dead worker is taken back after this time, at least 5 (default {LEASE_SECONDS:g})",
    )  # fmt: skip
    worker.add_argument(
        "--drain-seconds", type=seconds, default=30.0, metavar="S",
        help="how long running jobs may go on after a stop (default 30)",
    )  # fmt: skip
    worker.add_argument(
        "--backoff-seconds", type=seconds, default=10.0, metavar="S",
        help="pause after a job's first failure, twice as long after each further one (default 10)",
    )  # fmt: skip
    worker.add_argument("--health-file", type=Path, metavar="PATH", help="a JSON file, rewritten at each poll")


def _worker(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _dry_run(arguments)
    ExtractionLimits.from_environment()  # a setting that is none ends the worker, and no job
    options = WorkerOptions(
        worker_id=arguments.worker_id or this_worker(),
        loop=arguments.loop,
        concurrency=arguments.concurrency,
        job_types=tuple(arguments.types),
        poll_seconds=arguments.poll_seconds,
        lease_seconds=arguments.lease_seconds,
        drain_seconds=arguments.drain_seconds,
        backoff=Backoff(arguments.backoff_seconds),
        health_file=arguments.health_file,
    )
    target = named_target(arguments)
    renewal = Renewal(lambda: renew_copy(target))

    def opened() -> VectorStore:
        renewal()  # no session is open now
        return open_to_write(target)

    worker = Worker(opened, options)
    with _stopped_by_signals(worker) as received:
        worker.run()
    renew_copy(target)
    code = _report(arguments, worker, received)
    if worker.abandoned:
        leave(code)
    return code


def _report(arguments: argparse.Namespace, worker: Worker, received: list[int]) -> int:
    """Says how the jobs ended; the exit code."""
    worker_id = worker.options.worker_id
    counts = {outcome.value: worker.counts[outcome] for outcome in Outcome}
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing was due"
    stopped = "stopped; what was finished is stored, the rest is back in the queue" if received else None
    print_result(arguments, {"worker_id": worker_id, **counts}, f"{one_line(worker_id)}: {told}", stopped)
    if stopped:
        say(stopped)
        return 130 if received[0] == signal.SIGINT else 143
    return 1 if worker.counts[Outcome.DEAD] else 0


@contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[list[int]]:
    """Ctrl-C and what else ends a command stop the worker gracefully; the signals received."""
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        received.append(number)
        worker.stop()

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, stop) for number in (*terminating(), signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _dry_run(arguments: argparse.Namespace) -> int:
    store = open_store(arguments)
    try:
        due = JobQueue(store, arguments.worker_id or this_worker()).due(1000, arguments.types)
    finally:
        store.close()
    lines = [f"{one_line(job.job_id)}  {job.job_type.value}  priority {job.priority}" for job in due]
    lines.append(f"{len(due)}{' or more' if len(due) == 1000 else ''} due")
    print_result(arguments, {"jobs": [job.to_dict() for job in due]}, "\n".join(lines))
    return 0
