"""The worker: threads, signals, crashes. Its jobs are those of queue_support."""

import json
import os
import random
import signal
import threading
import time
from argparse import Namespace
from collections import Counter
from datetime import UTC, datetime
from queue import SimpleQueue

import pytest
from misbehaving_server import MisbehavingServer
from queue_support import create_effects, do, effects, empty_queue, handlers, memory_store
from queue_work import check_work, enqueue_work, finished, open_jobs, start_worker
from served import ServedSpace
from support import posix_only

from vector.cli import main
from vector.contracts.models import JobStatus, JobType, RunStatus
from vector.engines.duckdb.engine import DuckDBEngine
from vector.errors import ConfigurationError
from vector.jobs.active_jobs import Outcome
from vector.jobs.queue import Backoff, JobQueue, JobRequest
from vector.jobs.worker import Worker, WorkerOptions
from vector.store import VectorStore
from vector.store.ledger_io import ConstraintRefusal

EMBED, DRIFT = JobType.EMBED_CHUNKS, JobType.DRIFT_TEST


@pytest.fixture
def store(built_project):
    with handlers(do), memory_store(built_project.database_path) as opened:
        yield opened


@pytest.fixture
def jobs(store):
    return JobQueue(store, "the test")


def worker(store, **options):
    """A worker over sessions of its own."""
    given = {"worker_id": "worker-1", "backoff": Backoff(0.01, 0.02), "poll_seconds": 0.05, **options}
    return Worker(lambda: VectorStore(engine=store.engine.another()), WorkerOptions(**given))


def statuses(store):
    return Counter(job.status.value for job in store.list_jobs())


@pytest.mark.parametrize("concurrency", [1, 4])
def test_once_does_all_that_is_due_and_ends(store, jobs, concurrency):
    jobs.enqueue_many(JobRequest(EMBED, {"n": n}) for n in range(20))
    done = worker(store, concurrency=concurrency)
    done.run()
    assert done.counts == {Outcome.SUCCEEDED: 20}
    assert statuses(store) == {"SUCCEEDED": 20}
    assert {(run.status, run.worker_id, run.metrics["written"]) for run in store.list_runs()} == {
        (RunStatus.SUCCEEDED, "worker-1", 1)
    }
    assert effects(store.engine) == list(range(20))


def test_only_its_types(store, jobs):
    jobs.enqueue_many([JobRequest(EMBED, {"n": 1}), JobRequest(DRIFT, {"n": 2})])
    worker(store, job_types=(DRIFT,)).run()
    assert [(job.job_type, job.status.value) for job in store.list_jobs() if job.status is not JobStatus.NEW] == [
        (DRIFT, "SUCCEEDED")
    ]


def test_a_poison_job_does_not_keep_others_from_theirs(store, jobs):
    """It is the most urgent all the time, and there is one thread."""
    poison = jobs.enqueue(EMBED, {"n": 0, "fails_until": 99}, priority=999, max_attempts=5)
    hopeless = jobs.enqueue(EMBED, {"n": 1, "hopeless": True}, priority=999)
    others = jobs.enqueue_many(JobRequest(EMBED, {"n": n}) for n in range(2, 12))
    counts = Counter()
    while statuses(store).keys() - {"SUCCEEDED", "DEADLETTER"}:
        done = worker(store)
        done.run()
        counts += done.counts
    assert counts == {Outcome.SUCCEEDED: 10, Outcome.FAILED: 4, Outcome.DEAD: 2}
    assert store.get_job(poison.job_id).attempt_count == 5
    assert store.get_job(poison.job_id).last_error == "ValueError: attempt 5 of job 0 fails"
    assert store.get_job(hopeless.job_id).attempt_count == 1
    assert all(store.get_job(job.job_id).attempt_count == 1 for job in others)


def test_a_row_that_a_constraint_refuses_is_tried_again(store, jobs):
    """Another session may have added the same key a moment before: the next attempt finds it."""

    def refused_once(context):
        if context.job.attempt_count == 1:
            raise ConstraintRefusal("source_registry: Duplicate key")
        return {}

    job = jobs.enqueue(EMBED, {"n": 0})
    with handlers(refused_once):
        while statuses(store).keys() - {"SUCCEEDED", "DEADLETTER"}:
            worker(store).run()
    assert [run.status.value for run in store.list_runs(job.job_id)] == ["FAILED", "SUCCEEDED"]


def test_a_failed_attempt_is_followed_by_a_good_one(store, jobs):
    job = jobs.enqueue(EMBED, {"n": 0, "fails_until": 1})
    looping = worker(store, loop=True)
    thread = threading.Thread(target=looping.run)
    thread.start()
    wait_for(lambda: store.get_job(job.job_id).status is JobStatus.SUCCEEDED)
    looping.stop()
    thread.join(5)
    assert [run.status.value for run in store.list_runs(job.job_id)] == ["FAILED", "SUCCEEDED"]
    assert looping.counts == {Outcome.FAILED: 1, Outcome.SUCCEEDED: 1}


def test_a_slow_job_keeps_its_lease_by_heartbeats(store, jobs):
    """Three times as long as its lease, while another worker asks for work all the time."""
    job = jobs.enqueue(EMBED, {"n": 0, "seconds": 1.5})
    slow = worker(store, lease_seconds=0.5)
    thread = threading.Thread(target=slow.run)
    thread.start()
    wait_for(lambda: store.get_job(job.job_id).status is JobStatus.RUNNING)
    rival = JobQueue(VectorStore(engine=store.engine.another()), "rival")
    while thread.is_alive():
        assert rival.claim() == []
        time.sleep(0.02)
    assert slow.counts == {Outcome.SUCCEEDED: 1}
    assert store.get_job(job.job_id).attempt_count == 1


def test_a_worker_that_lost_its_lease_writes_no_outcome(store, jobs, monkeypatch):
    """Its heartbeats do not get through, so another worker takes the job; the first hears of it, and may still end."""
    heard = []

    def deaf(context):
        if context.run.worker_id == "rival":
            return {"by": "rival"}
        while not context.should_stop():
            time.sleep(0.01)
        heard.append(context.heartbeat())
        return {"by": "the first"}

    job = jobs.enqueue(EMBED, {"n": 0})
    rival = JobQueue(VectorStore(engine=store.engine.another()), "rival", lease_seconds=60)
    monkeypatch.setattr("vector.jobs.active_jobs._PER_LEASE", 0.4)  # every 0.5 s, for a lease of 0.2 s
    with handlers(deaf):
        first = worker(store, lease_seconds=0.2)
        thread = threading.Thread(target=first.run)
        thread.start()
        wait_for(lambda: store.get_job(job.job_id).status is JobStatus.RUNNING)
        taken = wait_for(rival.claim)
        thread.join(5)
    assert heard == [False]
    assert first.counts == {Outcome.LOST: 1}
    assert rival.complete(*taken, {"by": "rival"})
    lost, won = store.list_runs(job.job_id)
    assert (lost.status, lost.metrics, won.metrics) == (RunStatus.FAILED, None, {"by": "rival"})
    assert store.get_job(job.job_id).status is JobStatus.SUCCEEDED


def test_metrics_that_cannot_be_stored_are_a_failure(store, jobs):
    def unstorable(context):
        context.run.options = {"a": object()} if context.job.input_json["n"] else None
        return {"a": {1, 2}}

    jobs.enqueue_many(JobRequest(EMBED, {"n": n}) for n in range(2))
    with handlers(unstorable):
        worker(store).run()
    assert statuses(store) == {"DEADLETTER": 2}
    assert all("not JSON serializable" in job.last_error for job in store.list_jobs())


def test_a_handler_that_breaks_its_session_breaks_no_other(store, jobs):
    def breaks(context):
        context.store.engine.connection.execute("begin")
        context.store.engine.connection.execute("no sql")

    jobs.enqueue_many(JobRequest(EMBED, {"n": n}, max_attempts=1) for n in range(3))
    with handlers(breaks):
        worker(store).run()
    assert statuses(store) == {"DEADLETTER": 3}
    assert all("ParserException" in job.last_error for job in store.list_jobs())


def test_a_job_without_a_handler_module_fails_and_says_so(store, jobs, monkeypatch):
    job = jobs.enqueue(EMBED, {"n": 0}, max_attempts=1)
    monkeypatch.setattr("vector.jobs.handlers._MODULES", {EMBED: "no_such_module"})
    monkeypatch.setattr("vector.jobs.handlers.HANDLERS", {})
    worker(store).run()
    assert "no_such_module" in store.get_job(job.job_id).last_error


# Stopping


def test_a_stop_lets_running_jobs_end_and_begins_no_other(store, jobs):
    jobs.enqueue_many(JobRequest(EMBED, {"n": n, "seconds": 0.4}) for n in range(6))
    stopped = worker(store, loop=True, concurrency=2)
    thread = threading.Thread(target=stopped.run)
    thread.start()
    wait_for(lambda: statuses(store)["RUNNING"] == 2)
    stopped.stop()
    thread.join(10)
    assert stopped.counts == {Outcome.SUCCEEDED: 2}
    assert statuses(store) == {"SUCCEEDED": 2, "NEW": 4}


@pytest.mark.parametrize("polite", [True, False])
def test_what_does_not_end_in_time_goes_back_into_the_queue(store, jobs, polite, monkeypatch):
    monkeypatch.setattr("vector.jobs.worker._GRACE_SECONDS", 0.2)
    job = jobs.enqueue(EMBED, {"n": 0, "seconds": 3, "polite": polite}, max_attempts=1)
    stopped = worker(store, loop=True, drain_seconds=0.2)
    thread = threading.Thread(target=stopped.run)
    thread.start()
    wait_for(lambda: store.get_job(job.job_id).status is JobStatus.RUNNING)
    stopped.stop()
    started = time.monotonic()
    thread.join(10)
    assert time.monotonic() - started < 2
    back = store.get_job(job.job_id)
    assert (back.status, back.attempt_count, back.locked_by) == (JobStatus.NEW, 0, None)
    (run,) = store.list_runs(job.job_id)
    assert (run.status, run.error) == (RunStatus.FAILED, "released: worker worker-1 stopped before the job ended")
    assert stopped.counts == {Outcome.RELEASED: 1}
    time.sleep(0 if polite else 3)
    assert store.get_job(job.job_id).status is JobStatus.NEW, "the handler that went on has written no outcome"


def test_a_release_that_fails_keeps_no_other_job_from_its_own(store, jobs, monkeypatch, caplog):
    monkeypatch.setattr("vector.jobs.worker._GRACE_SECONDS", 0.1)
    jobs.enqueue_many(JobRequest(EMBED, {"n": n, "seconds": 2}) for n in range(3))
    release, asked = JobQueue.release, []

    def fails_first(self, claimed):
        asked.append(claimed.job.job_id)
        if len(asked) == 1:
            raise OSError("the server is gone")
        return release(self, claimed)

    monkeypatch.setattr(JobQueue, "release", fails_first)
    stopped = worker(store, loop=True, concurrency=3, drain_seconds=0)
    thread = threading.Thread(target=stopped.run)
    thread.start()
    wait_for(lambda: statuses(store)["RUNNING"] == 3)
    stopped.stop()
    thread.join(10)
    assert statuses(store) == {"NEW": 2, "RUNNING": 1}
    assert stopped.counts == {Outcome.RELEASED: 2, Outcome.UNRECORDED: 1}
    assert f"job {asked[0]} could not be put back" in caplog.text
    # The handlers go on; they must not meet the store of the next test.
    wait_for(lambda: not any(each.name.startswith("job ") for each in threading.enumerate()))


def test_a_thread_that_cannot_be_started_keeps_no_slot(store, jobs, monkeypatch):
    """With one slot, the worker would wait for ever for the end of a job that has not begun."""
    job = jobs.enqueue(EMBED, {"n": 0})
    start, refused = threading.Thread.start, []

    def cannot_at_first(thread):
        if thread.name.startswith("job ") and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", cannot_at_first)
    looping = worker(store, loop=True)
    thread = threading.Thread(target=looping.run)
    thread.start()
    try:
        wait_for(lambda: store.get_job(job.job_id).status is JobStatus.SUCCEEDED)
    finally:
        looping.stop()
        looping.stop()
        thread.join(10)
    assert refused == [f"job {job.job_id}"]
    assert looping.counts == {Outcome.SUCCEEDED: 1}


# Health


def test_the_health_file_tells_what_the_worker_does(store, jobs, tmp_path):
    path = tmp_path / "health.json"
    job = jobs.enqueue(EMBED, {"n": 0, "seconds": 0.5})
    watched = worker(store, loop=True, health_file=path)
    thread = threading.Thread(target=watched.run)
    thread.start()
    states = [wait_for(lambda state=state: path.exists() and reading(path)["state"] == state and reading(path))
              for state in ("working", "idle")]  # fmt: skip
    watched.stop()
    thread.join(5)
    working, idle = states
    assert [each["job_id"] for each in working["jobs"]] == [job.job_id]
    assert (working["worker_id"], working["poll_seconds"], idle["jobs"]) == ("worker-1", 0.05, [])
    assert (idle["counts"]["succeeded"], idle["trouble"]) == (1, None)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(idle["time_utc"])).total_seconds()) < 5
    assert reading(path)["state"] == "stopped"
    assert list(tmp_path.iterdir()) == [path]


def test_a_health_file_that_cannot_be_written_stops_the_worker_at_once(store, tmp_path):
    with pytest.raises(ConfigurationError, match="health file .*missing.health.json: No such file"):
        worker(store, health_file=tmp_path / "missing" / "health.json").run()


def test_a_health_file_that_cannot_be_written_later_is_a_warning(store, jobs, tmp_path, caplog):
    """A full disk, say; once it has room again, the file is written again."""
    folder, moved = tmp_path / "health", tmp_path / "moved"
    folder.mkdir()
    path = folder / "health.json"
    looping = worker(store, loop=True, health_file=path)
    thread = threading.Thread(target=looping.run)
    thread.start()
    wait_for(path.exists)
    folder.rename(moved)
    wait_for(lambda: "health file" in caplog.text)
    job = jobs.enqueue(EMBED, {"n": 0})
    wait_for(lambda: store.get_job(job.job_id).status is JobStatus.SUCCEEDED)
    moved.rename(folder)
    wait_for(lambda: path.exists() and reading(path)["counts"]["succeeded"] == 1)
    looping.stop()
    thread.join(5)
    assert caplog.text.count("health file") == 1


# A database that goes away


def test_a_looping_worker_outlives_its_database(store, jobs, tmp_path, monkeypatch):
    broken = threading.Event()
    claim = JobQueue.claim

    def claims_or_not(self, *arguments):
        if broken.is_set() and self.worker_id == "worker-1":
            raise OSError("the server is gone")
        return claim(self, *arguments)

    monkeypatch.setattr(JobQueue, "claim", claims_or_not)
    broken.set()
    path = tmp_path / "health.json"
    patient = worker(store, loop=True, health_file=path)
    thread = threading.Thread(target=patient.run)
    thread.start()
    trouble = wait_for(lambda: path.exists() and reading(path).get("trouble"))
    assert trouble == "cannot claim jobs: OSError: the server is gone"
    job = jobs.enqueue(EMBED, {"n": 0})
    broken.clear()
    wait_for(lambda: store.get_job(job.job_id).status is JobStatus.SUCCEEDED)
    patient.stop()
    thread.join(5)
    broken.set()
    with pytest.raises(OSError, match="the server is gone"):
        worker(store).run()


def test_claimed_jobs_that_get_no_session_are_put_back(store, jobs, monkeypatch):
    made = jobs.enqueue_many(JobRequest(EMBED, {"n": n}) for n in range(3))
    sessions = []
    another = DuckDBEngine.another

    def few(engine):
        sessions.append(1)
        if len(sessions) > 3:  # the worker's, its heartbeats', and that of one job
            raise ConfigurationError("too many connections")
        return another(engine)

    monkeypatch.setattr(DuckDBEngine, "another", few)
    with pytest.raises(ConfigurationError, match="too many connections"):
        worker(store, concurrency=3).run()
    assert statuses(store) == {"SUCCEEDED": 1, "NEW": 2}
    assert [store.get_job(job.job_id).attempt_count for job in made].count(0) == 2


# Signals


@pytest.fixture
def ctrl_break(monkeypatch):
    """Gives this process what Windows has besides SIGTERM, under another number."""
    number = getattr(signal, "SIGUSR1", None) or signal.SIGBREAK
    monkeypatch.setattr(signal, "SIGBREAK", number, raising=False)
    monkeypatch.setattr("vector.cli._Terminated.received", False)
    before = {each: signal.getsignal(each) for each in (number, signal.SIGTERM)}
    yield number
    for each, handler in before.items():
        signal.signal(each, handler)


@posix_only
def test_ctrl_break_stops_a_worker_as_sigterm_does(store, ctrl_break, monkeypatch, capsys):
    opened = worker(store, loop=True, poll_seconds=60)
    monkeypatch.setattr("vector.commands.worker.Worker", lambda *given: opened)
    threading.Timer(0.3, os.kill, (os.getpid(), ctrl_break)).start()
    assert main(["worker", "--loop"]) == 143
    assert "the rest is back in the queue" in capsys.readouterr().err


def test_ctrl_break_ends_a_command_as_sigterm_does(ctrl_break, monkeypatch, capsys):
    def run(arguments):
        signal.raise_signal(ctrl_break)
        pytest.fail("it goes on")

    monkeypatch.setattr("vector.cli._arguments", lambda *given: Namespace(run=run, json=False))
    assert main([]) == 143
    assert capsys.readouterr().err == "stopped; what was finished is stored\n"


def test_no_wait_of_a_worker_is_long(store, monkeypatch):
    """On Windows no signal interrupts one: Python hears of a stop when it ends."""
    waited = []

    class Wake(SimpleQueue):
        def get(self, block=True, timeout=None):
            waited.append(timeout)
            if len(waited) > 3:
                idle.stop()
            return super().get(block, 0.001)

    monkeypatch.setattr("vector.jobs.worker.SimpleQueue", Wake)
    idle = worker(store, loop=True, poll_seconds=3600)
    idle.run()
    assert len(waited) > 3
    assert max(waited) <= 0.5


# Real processes


@posix_only
def test_sigterm_drains_and_exits_with_143(project):
    with project.store() as store:
        empty_queue(store.engine.connection)
        create_effects(store.engine)
    done = start_worker(project, "enqueue", "EMBED_CHUNKS", "--input", '{"n": 0, "seconds": 1}')
    assert finished(done)[0] == 0
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        health = project.folder / f"health-{code}.json"
        process = start_worker(project, "worker", "--loop", "--poll-seconds", "0.1", "--health-file", str(health))
        wait_for(lambda path=health: path.exists() and reading(path)["state"] in ("working", "idle"))
        process.send_signal(number)
        exit_code, out, err = finished(process)
        assert exit_code == code, err
        assert "Traceback" not in err
    assert project.query("select status, attempt_count from job") == [("SUCCEEDED", 1)]


@posix_only
def test_a_worker_with_a_silent_model_server_ends(project):
    """Python would join the threads of the embedding pool, which wait for an answer, before it ends."""
    with project.store() as store:
        empty_queue(store.engine.connection)
    with MisbehavingServer() as server:
        served = ServedSpace(project, server, "ollama")
        project.environment |= {"VECTOR_HTTP_READ": "90", "VECTOR_HTTP_TOTAL": "90"}
        server.misbehave("hang", when=served.concerns_chunks)
        given = json.dumps({"space_key": served.space.space_key})
        assert finished(project.start("enqueue", "EMBED_CHUNKS", "--input", given))[0] == 0
        process = project.start("worker", "--loop", "--drain-seconds", "1", "--json")
        try:
            wait_for(lambda: any(each.fault == "hang" for each in server.asked), 30)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=15)
        finally:
            process.kill()
    assert process.returncode == 143, err
    assert json.loads(out)["released"] == 1
    assert "the rest is back in the queue" in err
    assert project.query("select status, attempt_count from job") == [("NEW", 0)]
    assert [error for (error,) in project.query("select error from run")][0].startswith("released: worker")


def test_a_looping_worker_lets_others_have_the_database_file(project):
    with project.store() as store:
        empty_queue(store.engine.connection)
        create_effects(store.engine)
    process = start_worker(project, "worker", "--loop", "--poll-seconds", "0.5")
    try:
        enqueued = wait_for(
            lambda: finished(start_worker(project, "enqueue", "DRIFT_TEST", "--input", '{"n": 1}'))[0] == 0
        )
        assert enqueued

        def succeeded():
            listed = start_worker(project, "jobs", "list", "--json")
            exit_code, out, _ = finished(listed)
            return exit_code == 0 and [job["status"] for job in json.loads(out)["jobs"]] == ["SUCCEEDED"]

        wait_for(succeeded, 20)
    finally:
        process.terminate()
    assert finished(process)[0] == 143


@pytest.mark.long
def test_2000_jobs_by_8_threads_killed_again_and_again(project):
    """DuckDB's form of killing workers: it has one process, so all eight die at once, and a new one takes over."""
    with project.connect() as connection:
        empty_queue(connection)
    expected = enqueue_work(project)
    rng, kills = random.Random(7), 0
    while True:
        process = start_worker(
            project, "worker", "--once", "--concurrency", "8", "--lease-seconds", "5", "--backoff-seconds", "0.01"
        )
        if kills < 5:
            # Until it has begun to work, and then some.
            time.sleep(1.2 + rng.random())
            if process.poll() is None:
                process.kill()
                kills += 1
            finished(process)
            continue
        exit_code, out, err = finished(process)
        assert exit_code in (0, 1), err
        if not open_jobs(project):
            break
        time.sleep(0.3)
    assert kills == 5
    check_work(project, expected)


def reading(path):
    return json.loads(path.read_text(encoding="utf-8"))


def wait_for(condition, seconds=10):
    """What the condition gives once it is true."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)
    return found
