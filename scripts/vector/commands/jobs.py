"""`enqueue`, and `jobs list|show|retry|cancel|requeue-dead`: the queue in people's hands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from textwrap import fill
from typing import Any

from vector.commands.output import say
from vector.commands.shared import add_command, integer, job_types, open_store, positive, print_result, seconds
from vector.contracts.json_column import parsed_json
from vector.contracts.models import JobStatus, JobType, VectorJob, VectorRun
from vector.errors import ConfigurationError, InvalidRecord
from vector.jobs.pending_sources import enqueue_pending, queued_text
from vector.jobs.queue import JobQueue, JobRequest
from vector.store.runs import this_worker
from vector.store.spaces import space_of_key
from vector.wording import excerpt, one_line

ENQUEUE_HELP = """examples:
  %(prog)s EMBED_CHUNKS --input '{"space_key": "bge-small"}' --dedupe-key embed:bge-small
  %(prog)s REEMBED_SPACE --input '{"space_key": "bge-small"}' --priority 200 --delay-seconds 3600
  %(prog)s CHUNK_SOURCE --input-file source.json
  generate | %(prog)s CHUNK_SOURCE --input-file -
  %(prog)s CHUNK_SOURCE --pending --source-type page --limit 1000
  %(prog)s CHUNK_SOURCE --pending --dry-run

A file holds one JSON object, or a list of objects, for a job each: all are queued, or none. The keys of an input are in
docs/operations.md. With --dedupe-key nothing is queued where an open job (NEW, RUNNING or FAILED) has the key already;
that job is named instead. With --json, one object: {"jobs": [...]}; a job has "queued", false where it was there.

With --pending, a job for each source of a chunk policy of method extract whose payload is new or changed (the view
source_pending) and that has no open job; a second time queues nothing. With --json then: {"pending": n, "open": n,
"queued": n, "by_source_type": {type: queued}}; with --dry-run "queued" is what would be."""

JOBS_HELP = """examples:
  %(prog)s list --status DEADLETTER
  %(prog)s show 6f1c0000-0000-0000-0000-000000000000
  %(prog)s retry 6f1c0000-0000-0000-0000-000000000000
  %(prog)s requeue-dead --types EMBED_CHUNKS"""

_JOB_KEYS = ", ".join(each.name for each in fields(VectorJob))
LIST_HELP = f"""With --json, one object: {{"jobs": [...]}}, each with the keys
{fill(_JOB_KEYS, 118)}."""
SHOW_HELP = f"""With --json, one object with the keys of the job, and runs, a list; a run has the keys
{fill(", ".join(each.name for each in fields(VectorRun)), 118)}.
Those of the job are
{fill(_JOB_KEYS, 118)}."""
CHANGE_HELP = """With --json, one object with the keys changed and unchanged (ids of jobs), and error where one is
unchanged. The exit code is 2 then."""
REQUEUE_HELP = """With --json, one object: {"changed": [...]}, the ids of the jobs."""


def add_to(commands: Any) -> None:
    """Declares both."""
    enqueue = add_command(commands, "enqueue", _enqueue, "queue a job", ENQUEUE_HELP)
    enqueue.add_argument("job_type", choices=[each.value for each in JobType], metavar="type", help=_kinds())
    given = enqueue.add_mutually_exclusive_group()
    given.add_argument("--input", default="{}", metavar="JSON", help="what the job works on, a JSON object")
    given.add_argument("--input-file", metavar="PATH", help="the same from a file, or from - for standard input")
    given.add_argument("--pending", action="store_true", help="CHUNK_SOURCE of every source that waits for it")
    enqueue.add_argument("--source-type", metavar="T", help="with --pending: only sources of this type")
    enqueue.add_argument("--limit", type=positive, metavar="N", help="with --pending: at most N jobs")
    enqueue.add_argument("--dry-run", action="store_true", help="with --pending: say how many, and queue nothing")
    enqueue.add_argument("--priority", type=integer, default=100, metavar="N", help="higher is sooner (default 100)")
    enqueue.add_argument("--dedupe-key", metavar="KEY", help="queue nothing where an open job has the key")
    enqueue.add_argument("--delay-seconds", type=seconds, default=0.0, metavar="S", help="not before this time is over")
    enqueue.add_argument("--max-attempts", type=positive, default=3, metavar="N", help="attempts (default 3)")
    enqueue.add_argument(
        "--space", metavar="KEY", help="space that the job is counted to in the reports (default that of the input)"
    )

    group = commands.add_parser(
        "jobs", help="look at the queue, and change it", epilog=JOBS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).add_subparsers(required=True, metavar="action")  # fmt: skip
    listed = add_command(group, "list", _list, "list jobs, the latest first", LIST_HELP)
    listed.add_argument("--status", choices=[each.value for each in JobStatus], metavar="S", help=_statuses())
    listed.add_argument("--types", type=job_types, action="extend", default=[], metavar="T", help=_kinds())
    listed.add_argument("--limit", type=positive, default=50, metavar="N", help="at most N (default 50)")
    shown = add_command(group, "show", _show, "show a job and its runs", SHOW_HELP)
    shown.add_argument("job_id")
    for name, run, summary in (
        ("retry", _retry, "make FAILED or DEADLETTER jobs due now, with all their attempts"),
        ("cancel", _cancel, "give open jobs up; a worker that has one hears of it at its next heartbeat"),
    ):
        add_command(group, name, run, summary, CHANGE_HELP).add_argument("job_id", nargs="+")
    dead = add_command(
        group, "requeue-dead", _requeue_dead, "retry every dead job that was not cancelled", REQUEUE_HELP
    )
    dead.add_argument("--types", type=job_types, action="extend", default=[], metavar="T", help=_kinds())


def _kinds() -> str:
    return ", ".join(each.value for each in JobType)


def _statuses() -> str:
    return ", ".join(each.value for each in JobStatus)


def _with_queue(arguments: argparse.Namespace, use: Callable[[JobQueue], Any]) -> Any:
    store = open_store(arguments)
    try:
        return use(JobQueue(store, this_worker()))
    finally:
        store.close()


def _enqueue(arguments: argparse.Namespace) -> int:
    if arguments.pending:
        return _enqueue_pending(arguments)
    for name in ("source_type", "limit", "dry_run"):
        if getattr(arguments, name):
            raise ConfigurationError(f"--{name.replace('_', '-')} is for --pending")
    inputs = _inputs(arguments)
    if arguments.dedupe_key and len(inputs) > 1:
        raise ConfigurationError(f"--dedupe-key is for one job, the file has {len(inputs)}")

    def enqueue(queue: JobQueue) -> list[tuple[VectorJob, bool]]:
        space = space_of_key(queue.store, arguments.space) if arguments.space else None
        asked = queue.clock()
        jobs = queue.enqueue_many(
            JobRequest(
                JobType(arguments.job_type),
                each,
                priority=arguments.priority,
                available_utc=asked + timedelta(seconds=arguments.delay_seconds),
                max_attempts=arguments.max_attempts,
                dedupe_key=arguments.dedupe_key,
                embedding_space_id=space.embedding_space_id if space else None,
            )
            for each in inputs
        )
        return [(job, job.created_utc >= asked) for job in jobs]

    done = _with_queue(arguments, enqueue)
    lines = [
        f"{one_line(job.job_id)}: {job.job_type.value} {'queued' if new else f'is there already, {job.status.value}'}"
        for job, new in done
    ]
    print_result(arguments, {"jobs": [{**job.to_dict(), "queued": new} for job, new in done]}, "\n".join(lines))
    return 0


def _enqueue_pending(arguments: argparse.Namespace) -> int:
    if arguments.job_type != JobType.CHUNK_SOURCE.value:
        raise ConfigurationError(
            f"--pending is for CHUNK_SOURCE, not {arguments.job_type}; pending embeddings are queued by"
            " `dbt run-operation enqueue_pending`"
        )
    for name in ("dedupe_key", "delay_seconds", "space"):
        if getattr(arguments, name):
            raise ConfigurationError(f"--{name.replace('_', '-')} does not go with --pending")
    done = _with_queue(
        arguments,
        lambda queue: enqueue_pending(
            queue,
            source_type=arguments.source_type,
            limit=arguments.limit,
            priority=arguments.priority,
            max_attempts=arguments.max_attempts,
            dry_run=arguments.dry_run,
        ),
    )
    print_result(arguments, done.to_dict(), queued_text(done, arguments.dry_run))
    return 0


def _inputs(arguments: argparse.Namespace) -> list[Any]:
    """The inputs that the options give. Raises InvalidRecord, which names the kind of job, when they are no JSON."""
    path = arguments.input_file
    try:
        if path is None:
            text = arguments.input
        else:
            text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        given = parsed_json(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InvalidRecord(f"{arguments.job_type}: {path or '--input'} is no JSON: {error}") from None
    return given if isinstance(given, list) and path is not None else [given]


def _list(arguments: argparse.Namespace) -> int:
    jobs = _with_queue(arguments, lambda queue: queue.latest(arguments.limit, arguments.status, arguments.types))
    print_result(arguments, {"jobs": [job.to_dict() for job in jobs]}, "\n".join(map(_line, jobs)) or "no such job")
    return 0


def _line(job: VectorJob) -> str:
    error = f"  {excerpt(job.last_error, 80)}" if job.last_error else ""
    return (
        f"{one_line(job.job_id)}  {job.job_type.value:<13}  {job.status.value:<10}"
        f"  {job.attempt_count}/{job.max_attempts}  {job.created_utc:%Y-%m-%d %H:%M:%S}{error}"
    )


def _show(arguments: argparse.Namespace) -> int:
    def find(queue: JobQueue) -> dict[str, Any]:
        job = queue.store.get_job(arguments.job_id)
        if job is None:
            raise ConfigurationError(f"there is no job {arguments.job_id}")
        runs = queue.store.list_runs(job.job_id)
        return {**job.to_dict(), "runs": [run.to_dict() for run in runs]}

    found = _with_queue(arguments, find)
    lines = [f"{name}: {value}" for name, value in found.items() if name != "runs" and value is not None]
    for run in found["runs"]:
        lines.append(f"run {run['run_id']}: {run['status']} by {run['worker_id']} from {run['started_utc']}")
        lines += [f"  {name}: {run[name]}" for name in ("completed_utc", "metrics", "error") if run[name] is not None]
    print_result(arguments, found, "\n".join(map(_shown_line, lines)))
    return 0


def _shown_line(line: str) -> str:
    """One line, whose indent is kept."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    return indent + one_line(line)


def _retry(arguments: argparse.Namespace) -> int:
    def why_not(job: VectorJob) -> str:
        if job.by_hand_flag:
            return "was run by hand; run the command again"
        if job.status not in (JobStatus.FAILED, JobStatus.DEADLETTER):
            return f"is {job.status.value}; only FAILED and DEADLETTER are retried"
        return f"an open job has its dedupe key {job.dedupe_key!r} already; wait for it, or cancel it"

    return _each(arguments, JobQueue.retry, "due now", why_not)


def _cancel(arguments: argparse.Namespace) -> int:
    def why_not(job: VectorJob) -> str:
        if job.by_hand_flag and job.status is JobStatus.RUNNING:
            return "is run by hand; stop the command"
        return f"is {job.status.value}, no longer open"

    return _each(arguments, JobQueue.cancel, "cancelled", why_not)


def _each(
    arguments: argparse.Namespace,
    change: Callable[[JobQueue, str], bool],
    done: str,
    why_not: Callable[[VectorJob], str],
) -> int:
    """Changes each job that the options name; exit code 2 where one could not be changed, and why."""

    def work(queue: JobQueue) -> dict[str, str | None]:
        return {each: None if change(queue, each) else refusal(queue, each) for each in arguments.job_id}

    def refusal(queue: JobQueue, job_id: str) -> str:
        job = queue.store.get_job(job_id)
        if job is None:
            return "there is no such job; see `vector jobs list`"
        return why_not(job)

    refusals = _with_queue(arguments, work)
    changed = [each for each, refusal in refusals.items() if refusal is None]
    refused = {each: refusal for each, refusal in refusals.items() if refusal is not None}
    errors = [f"job {each}: {reason}" for each, reason in refused.items()]
    told = "\n".join(f"{one_line(each)}: {done}" for each in changed)
    value = {"changed": changed, "unchanged": list(refused)}
    print_result(arguments, value, told, "; ".join(errors) or None)
    for error in errors:
        say(f"error: {error}")
    return 2 if refused else 0


def _requeue_dead(arguments: argparse.Namespace) -> int:
    requeued = _with_queue(arguments, lambda queue: queue.requeue_dead(arguments.types))
    print_result(arguments, {"changed": requeued}, f"{len(requeued)} jobs are due now")
    return 0
