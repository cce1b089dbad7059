"""Real workers in processes of their own, the work they are given, and what must be left of it, on any engine."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import live
from queue_support import create_effects, effects, handlers
from support import PROJECT_DIR, clean_copy

from vector.contracts.models import JobType
from vector.jobs.queue import JobQueue, JobRequest

JOBS = 2000
ATTEMPTS = 3


def start_worker(project, *arguments):
    """Starts `vector` with the tests' handlers."""
    tests = Path(__file__).parent
    imported = (str(tests), str(PROJECT_DIR / "scripts"), os.environ.get("PYTHONPATH", ""))
    where = ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder)]
    return subprocess.Popen(
        [sys.executable, str(tests / "queue_worker.py"), *arguments, *where],
        cwd=project.folder,
        env={**clean_copy(os.environ), "PYTHONPATH": os.pathsep.join(imported)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def finished(process):
    """The exit code and the output of a process, after its end."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def enqueue_work(project):
    """Queues the work; what each job must come to, by its id. Most jobs do well at once, some at a second attempt, some
    never, and some are wrong for good. Kills may cost a job attempts, so those that can do well have many."""
    kinds = [{}] * 17 + [{"fails_until": 1}, {"fails_until": 99}, {"hopeless": True}]
    inputs = [{"n": n, **kinds[n % len(kinds)]} for n in range(JOBS)]
    store = live.open_store(project)
    try:
        create_effects(store.engine)
        with handlers():
            jobs = JobQueue(store, "the test").enqueue_many(
                JobRequest(JobType.EMBED_CHUNKS, each, max_attempts=ATTEMPTS if each.get("fails_until") == 99 else 50)
                for each in inputs
            )
    finally:
        store.close()
    return {job.job_id: _must_succeed(job.input_json) for job in jobs}


def _must_succeed(given):
    return not given.get("hopeless") and given.get("fails_until", 0) < 99


def open_jobs(project):
    """The number of jobs that are not done."""
    store = live.open_store(project)
    try:
        return store.engine.query(
            f"select count(*) from {store.engine.table('job')} where status in ('NEW', 'RUNNING', 'FAILED')"
            " and by_hand_flag is null"
        )[0][0]
    finally:
        store.close()


def check_work(project, expected):
    """Every job came to what it must, each effect is stored once, and every attempt is a run that is closed."""
    store = live.open_store(project)
    try:
        jobs = {job.job_id: job for job in store.list_jobs() if job.job_id in expected}
        runs = [run for run in store.list_runs() if run.job_id in expected]
        written = effects(store.engine)
    finally:
        store.close()
    assert {job_id: job.status.value for job_id, job in jobs.items()} == {
        job_id: "SUCCEEDED" if well else "DEADLETTER" for job_id, well in expected.items()
    }
    assert written == sorted(jobs[job_id].input_json["n"] for job_id, well in expected.items() if well)
    attempts = Counter(run.job_id for run in runs)
    assert attempts == {job_id: job.attempt_count for job_id, job in jobs.items()}
    for job in jobs.values():
        assert job.attempt_count <= job.max_attempts
        assert job.locked_by is job.locked_run_id is job.lease_expires_utc is None
        if job.input_json.get("fails_until") == 99:
            assert job.attempt_count == ATTEMPTS
            assert job.last_error
    assert {run.status.value for run in runs} == {"SUCCEEDED", "FAILED"}
    succeeded = Counter(run.job_id for run in runs if run.status.value == "SUCCEEDED")
    assert succeeded == {job_id: 1 for job_id, well in expected.items() if well}
    assert sum("lease lost" in (run.error or "") for run in runs) > 0, "no worker was killed at work"
