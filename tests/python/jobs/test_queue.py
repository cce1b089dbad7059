"""The rules of the queue, one by one."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import duckdb
import hypothesis.strategies as st
import pytest
from hypothesis import given
from queue_support import NOON, Clock, handlers, memory_store, queue

from vector.contracts.json_column import UnreadableJson
from vector.contracts.ledgers import JOB, LEDGERS
from vector.contracts.models import JobStatus, JobType, RunStatus, VectorJob
from vector.engines.duckdb.engine import DuckDBEngine
from vector.errors import InvalidRecord
from vector.jobs.active_jobs import ActiveJob
from vector.jobs.handlers import validated_input
from vector.jobs.queue import Backoff, JobQueue, JobRequest
from vector.jobs.queue_records import DatabaseClock
from vector.store import VectorStore
from vector.store.runs import close_abandoned_runs, recorded_run

EMBED, CHUNK, DRIFT = JobType.EMBED_CHUNKS, JobType.CHUNK_SOURCE, JobType.DRIFT_TEST


@pytest.fixture
def store(built_project):
    with handlers(), memory_store(built_project.database_path) as opened:
        yield opened


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def jobs(store, clock):
    return queue(store, clock)


@pytest.fixture
def other(store, clock):
    return queue(store, clock, "worker-2")


def state(queue, job):
    """What is to be known of a job: status, attempts, and how its runs ended."""
    found = queue.store.get_job(job.job_id)
    return found.status.value, found.attempt_count, [run.status.value for run in queue.store.list_runs(job.job_id)]


# Enqueue


def test_a_job_is_queued_as_asked(jobs, store):
    job = jobs.enqueue(EMBED, {"é": [1]}, priority=7, max_attempts=5, dedupe_key="k", available_utc=NOON)
    assert store.get_job(job.job_id) == job
    assert (job.status, job.priority, job.max_attempts, job.attempt_count) == (JobStatus.NEW, 7, 5, 0)
    assert (job.created_utc, job.available_utc, job.input_json) == (NOON, NOON, {"é": [1]})


@pytest.mark.parametrize(
    ("job_type", "input_json", "options", "message"),
    [
        ("EMBED_CHUNKS", {"bad": True}, {}, "EMBED_CHUNKS: bad: is refused"),
        ("EMBED_CHUNKS", ["a list"], {}, "must be a JSON object, is list"),
        ("EMBED", {}, {}, "'EMBED' is none of CHUNK_SOURCE, EMBED_CHUNKS"),
        ("EMBED_CHUNKS", {}, {"max_attempts": 0}, "max_attempts: must be a whole number from 1 on, is 0"),
        ("EMBED_CHUNKS", {}, {"priority": "high"}, "priority: must be a whole number"),
        ("EMBED_CHUNKS", {}, {"priority": 2**31}, "priority: must be a whole number"),
        ("EMBED_CHUNKS", {}, {"dedupe_key": " "}, "dedupe_key"),
        ("EMBED_CHUNKS", {}, {"dedupe_key": "k "}, "dedupe_key: 'k ' is empty or has blanks"),
        ("EMBED_CHUNKS", {}, {"dedupe_key": "k" * 201}, "dedupe_key: has 201 characters"),
        ("EMBED_CHUNKS", {}, {"embedding_space_id": "unknown"}, "foreign key"),
        ("EMBED_CHUNKS", {"text": "lone \ud83d surrogate"}, {}, "surrogate"),
    ],
)
def test_what_no_worker_could_do_is_not_queued(jobs, store, job_type, input_json, options, message):
    with pytest.raises(InvalidRecord, match=message):
        jobs.enqueue(job_type, input_json, **options)
    assert store.list_jobs() == []


def test_many_are_queued_or_none(jobs, store):
    with pytest.raises(InvalidRecord):
        jobs.enqueue_many([JobRequest(EMBED, {}), JobRequest(EMBED, {"bad": True})])
    assert store.list_jobs() == []
    assert jobs.enqueue_many([]) == []
    assert len({job.job_id for job in jobs.enqueue_many(JobRequest(EMBED, {"n": n}) for n in range(30))}) == 30
    assert len(store.list_jobs()) == 30


def test_open_work_is_not_queued_twice(jobs, store):
    """Open is NEW, RUNNING and FAILED. After SUCCEEDED and DEADLETTER the same work may be queued again."""

    def again():
        return jobs.enqueue(CHUNK, {"n": 2}, dedupe_key="k")

    first = jobs.enqueue(EMBED, {"n": 1}, dedupe_key="k", max_attempts=2)
    assert again() == first
    (claimed,) = jobs.claim()
    assert again().job_id == first.job_id
    assert again().status is JobStatus.RUNNING
    jobs.fail(claimed, "no")
    assert again().status is JobStatus.FAILED
    jobs.clock.forward(3600)
    assert jobs.complete(*jobs.claim())
    second = again()
    assert second.job_id != first.job_id
    jobs.fail(*jobs.claim(), "never", retry=False)
    assert again().job_id not in (first.job_id, second.job_id)
    assert len(store.list_jobs()) == 3


def test_a_batch_has_one_job_for_a_key(jobs, store):
    known = jobs.enqueue(EMBED, {}, dedupe_key="b")
    made = jobs.enqueue_many(JobRequest(EMBED, {}, dedupe_key=key) for key in ("a", "b", "a", None, None))
    assert made[0] == made[2]
    assert made[1] == known
    assert len({job.job_id for job in made}) == 4
    assert len(store.list_jobs()) == 4


def test_sessions_that_queue_the_same_work_at_once_queue_one_job(jobs, store):
    ready = threading.Barrier(8)
    stores = [VectorStore(engine=store.engine.another()) for _ in range(8)]

    def enqueue(own):
        ready.wait()
        return [JobQueue(own, "w").enqueue(EMBED, {}, dedupe_key=f"k{n}").job_id for n in range(10)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(enqueue, stores))
    assert all(answer == answers[0] for answer in answers)
    assert len(store.list_jobs()) == 10


# Claim


def test_the_most_urgent_due_jobs_come_first_and_older_before_newer(jobs):
    late = jobs.enqueue(EMBED, {}, priority=1, available_utc=NOON - timedelta(seconds=9))
    jobs.enqueue(EMBED, {}, priority=999, available_utc=NOON + timedelta(seconds=1))
    newer = jobs.enqueue(EMBED, {}, priority=5, available_utc=NOON - timedelta(seconds=1))
    older = jobs.enqueue(EMBED, {}, priority=5, available_utc=NOON - timedelta(seconds=2))
    urgent = jobs.enqueue(EMBED, {}, priority=6)
    expected = [urgent, older, newer, late]
    assert [job.job_id for job in jobs.due(10)] == [job.job_id for job in expected]
    assert [claimed.job.job_id for claimed in jobs.claim(3) + jobs.claim(3)] == [job.job_id for job in expected]
    assert jobs.claim(10) == jobs.due(10) == []


def test_a_claim_is_a_lease_with_an_open_run(jobs, store):
    job = jobs.enqueue(EMBED, {"n": 1})
    (claimed,) = jobs.claim()
    stored = store.get_job(job.job_id)
    assert claimed.job == stored
    assert store.list_runs(job.job_id) == [claimed.run]
    assert (stored.status, stored.attempt_count, stored.locked_by) == (JobStatus.RUNNING, 1, "worker-1")
    assert (stored.locked_utc, stored.lease_expires_utc) == (NOON, NOON + timedelta(seconds=60))
    assert (claimed.run.run_id, claimed.run.worker_id) == (stored.locked_run_id, "worker-1")
    assert (claimed.run.status, claimed.run.started_utc) == (RunStatus.RUNNING, NOON)


def test_only_the_types_asked_for_are_claimed(jobs):
    for each in (EMBED, CHUNK, DRIFT):
        jobs.enqueue(each, {})
    assert {claimed.job.job_type for claimed in jobs.claim(9, [CHUNK, DRIFT])} == {CHUNK, DRIFT}
    assert [job.job_type for job in jobs.due(9)] == [EMBED]


def test_no_job_is_claimed_twice_by_sessions_at_once(jobs, store):
    jobs.enqueue_many(JobRequest(EMBED, {"n": n}) for n in range(200))
    stores = [VectorStore(engine=store.engine.another()) for _ in range(8)]

    def claim_all(own):
        mine, found = JobQueue(own, f"w{id(own)}"), []
        while claimed := mine.claim(3):
            found += claimed
        return [claimed.job.job_id for claimed in found]

    with ThreadPoolExecutor(8) as pool:
        claimed = [job_id for found in pool.map(claim_all, stores) for job_id in found]
    assert len(claimed) == len(set(claimed)) == 200
    assert all(job.attempt_count == 1 for job in store.list_jobs())
    assert len(store.list_runs()) == 200


# Outcomes


def test_success_closes_job_and_run(jobs, store):
    jobs.enqueue(EMBED, {})
    (claimed,) = jobs.claim()
    claimed.run.endpoint_url, claimed.run.options, claimed.run.metrics = "http://h", {"batch_size": 4}, {"texts": 1}
    jobs.clock.forward(5)
    assert jobs.complete(claimed, {"written": 3})
    job, (run,) = store.get_job(claimed.job.job_id), store.list_runs(claimed.job.job_id)
    assert (job.status, job.completed_utc) == (JobStatus.SUCCEEDED, NOON + timedelta(seconds=5))
    assert job.locked_by is job.locked_utc is job.locked_run_id is job.lease_expires_utc is None
    assert (run.status, run.completed_utc, run.error) == (RunStatus.SUCCEEDED, job.completed_utc, None)
    assert (run.metrics, run.options, run.endpoint_url) == (
        {"texts": 1, "written": 3}, {"batch_size": 4}, "http://h")  # fmt: skip


def test_a_failure_waits_longer_each_time_and_the_last_is_final(jobs, store):
    job = jobs.enqueue(EMBED, {}, max_attempts=3)
    for attempt, seconds in ((1, 10), (2, 20)):
        assert jobs.fail(*jobs.claim(), ValueError(f"no {attempt}"))
        failed = store.get_job(job.job_id)
        assert (failed.status, failed.attempt_count) == (JobStatus.FAILED, attempt)
        assert failed.last_error == f"ValueError: no {attempt}"
        waits = (failed.available_utc - jobs.clock.now).total_seconds()
        assert seconds / 2 <= waits <= seconds
        jobs.clock.forward(waits - 0.001)
        assert jobs.claim() == []
        jobs.clock.forward(0.001)
    assert jobs.fail(*jobs.claim(), "no 3")
    dead = store.get_job(job.job_id)
    assert (dead.status, dead.last_error, dead.completed_utc) == (JobStatus.DEADLETTER, "no 3", jobs.clock.now)
    assert [run.error for run in store.list_runs(job.job_id)] == ["ValueError: no 1", "ValueError: no 2", "no 3"]
    jobs.clock.forward(10**6)
    assert jobs.claim() == []


def test_an_error_for_good_is_final_at_once(jobs):
    job = jobs.enqueue(EMBED, {}, max_attempts=9)
    jobs.fail(*jobs.claim(), "never", retry=False)
    assert state(jobs, job) == ("DEADLETTER", 1, ["FAILED"])


def test_any_error_can_be_stored(jobs, store):
    job = jobs.enqueue(EMBED, {})
    jobs.fail(*jobs.claim(), "nul \0, lone \ud83d, " + "long" * 5000)
    error = store.get_job(job.job_id).last_error
    assert error.startswith("nul \N{REPLACEMENT CHARACTER}, lone ?, long")
    assert len(error) == 8000


def test_waits_are_spread_and_bounded():
    waits = [Backoff(10, 3600).delay(attempt).total_seconds() for attempt in (1, 2, 3, 50, 10**6) for _ in range(50)]
    assert len(set(waits)) > 200
    for first, (low, high) in zip(
        range(0, 250, 50), ((5, 10), (10, 20), (20, 40), (1800, 3600), (1800, 3600)), strict=True
    ):
        assert low <= min(waits[first : first + 50]) <= max(waits[first : first + 50]) <= high


def test_a_released_job_is_as_it_was(jobs):
    job = jobs.enqueue(EMBED, {}, max_attempts=1)
    (claimed,) = jobs.claim()
    assert jobs.release(claimed)
    assert state(jobs, job) == ("NEW", 0, ["FAILED"])
    (again,) = jobs.claim()
    assert again.job.attempt_count == 1
    assert not jobs.complete(claimed)
    assert jobs.complete(again)


# Leases


def test_a_heartbeat_keeps_the_lease(jobs, other):
    jobs.enqueue(EMBED, {})
    (claimed,) = jobs.claim()
    for _ in range(10):
        jobs.clock.forward(50)
        assert jobs.heartbeat(claimed)
        assert other.claim() == []
    assert jobs.complete(claimed)


def test_a_lapsed_lease_is_anybodys_and_its_attempt_counts(jobs, other, store):
    job = jobs.enqueue(EMBED, {}, max_attempts=2)
    (lost,) = jobs.claim()
    jobs.clock.forward(59)
    assert other.claim() == []
    jobs.clock.forward(1)
    (taken,) = other.claim()
    assert state(jobs, job) == ("RUNNING", 2, ["FAILED", "RUNNING"])
    assert store.get_run(lost.run.run_id).error.startswith("lease lost: worker worker-1 did not extend it before 2024")
    # Whoever lost the lease can write nothing of it.
    assert not jobs.heartbeat(lost)
    assert not jobs.complete(lost, {"written": 1})
    assert not jobs.fail(lost, "late")
    assert not jobs.release(lost)
    assert state(jobs, job) == ("RUNNING", 2, ["FAILED", "RUNNING"])
    assert other.complete(taken, {"written": 2})
    assert not jobs.fail(lost, "later still")
    assert state(jobs, job) == ("SUCCEEDED", 2, ["FAILED", "SUCCEEDED"])
    assert store.get_run(lost.run.run_id).metrics is None


def test_a_job_that_loses_its_last_lease_is_dead(jobs, other, store):
    job = jobs.enqueue(EMBED, {}, max_attempts=1)
    jobs.claim()
    jobs.clock.forward(60)
    assert other.claim() == []
    assert state(jobs, job) == ("DEADLETTER", 1, ["FAILED"])
    assert "lease lost" in store.get_job(job.job_id).last_error


def test_the_same_worker_may_lose_a_job_and_get_it_again(jobs):
    """Its name is not enough: the lease's token is the run."""
    job = jobs.enqueue(EMBED, {})
    (lost,) = jobs.claim()
    jobs.clock.forward(60)
    (again,) = jobs.claim()
    assert not jobs.complete(lost)
    assert jobs.complete(again)
    assert state(jobs, job) == ("SUCCEEDED", 2, ["FAILED", "SUCCEEDED"])


def test_a_late_outcome_counts_while_nobody_has_taken_the_job(jobs):
    job = jobs.enqueue(EMBED, {})
    (claimed,) = jobs.claim()
    jobs.clock.forward(3600)
    assert jobs.heartbeat(claimed)
    jobs.clock.forward(3600)
    assert jobs.complete(claimed)
    assert state(jobs, job) == ("SUCCEEDED", 1, ["SUCCEEDED"])


# By people


def test_cancelled_work_is_not_done(jobs, store):
    waiting, running = jobs.enqueue(EMBED, {}, priority=1), jobs.enqueue(EMBED, {}, priority=2)
    (claimed,) = jobs.claim()
    assert jobs.cancel(waiting.job_id)
    assert jobs.cancel(running.job_id)
    assert not jobs.heartbeat(claimed)
    assert not jobs.complete(claimed)
    assert state(jobs, waiting) == ("DEADLETTER", 0, [])
    assert state(jobs, running) == ("DEADLETTER", 1, ["FAILED"])
    assert store.get_run(claimed.run.run_id).error == "cancelled"
    assert store.get_job(running.job_id).cancelled_utc == NOON
    assert jobs.requeue_dead() == jobs.claim(9) == []
    assert not jobs.cancel(running.job_id)
    assert not jobs.cancel("unknown")


def test_a_retried_job_has_all_its_attempts_again(jobs, store):
    failed, dead = (jobs.enqueue(EMBED, {}, max_attempts=most) for most in (2, 1))
    for claimed in jobs.claim(2):
        jobs.fail(claimed, "no")
    assert [state(jobs, job)[0] for job in (failed, dead)] == ["FAILED", "DEADLETTER"]
    for job in (failed, dead):
        assert jobs.retry(job.job_id)
        assert not jobs.retry(job.job_id), "it is NEW now"
        assert state(jobs, job) == ("NEW", 0, ["FAILED"])
        assert store.get_job(job.job_id).completed_utc is None
    assert len(jobs.claim(9)) == 2


def test_requeued_dead_jobs_do_not_double_open_work(jobs):
    first = jobs.enqueue(EMBED, {"n": 1}, dedupe_key="k")
    jobs.fail(*jobs.claim(), "no", retry=False)
    jobs.clock.forward(1)
    second = jobs.enqueue(EMBED, {"n": 2}, dedupe_key="k")
    jobs.fail(*jobs.claim(), "no", retry=False)
    plain = jobs.enqueue(DRIFT, {})
    jobs.fail(*jobs.claim(), "no", retry=False)
    assert jobs.requeue_dead([EMBED]) == [first.job_id]
    assert not jobs.retry(second.job_id)
    assert jobs.requeue_dead() == [plain.job_id]


# Work by hand


def test_a_command_run_by_hand_is_no_workers(jobs, store, space_id):
    jobs.clock.now += timedelta(days=9999)
    with suppress(RuntimeError), recorded_run(store, EMBED, {"space_key": "k"}, space_id):
        assert jobs.claim(9) == []
        (job,) = store.list_jobs()
        assert job.by_hand_flag
        assert not jobs.cancel(job.job_id)
        raise RuntimeError("stop")
    assert state(jobs, job) == ("DEADLETTER", 1, ["FAILED"])
    assert store.get_job(job.job_id).completed_utc
    assert not jobs.retry(job.job_id)
    assert jobs.requeue_dead() == jobs.claim(9) == []


def test_the_run_of_a_worker_that_lives_is_not_abandoned(store, clock):
    """Its name may look like a process of this host that is gone."""
    mine = queue(store, clock, f"{socket.gethostname()}:4194305")
    job = mine.enqueue(EMBED, {})
    mine.claim()
    assert close_abandoned_runs(store) == 0
    assert state(mine, job) == ("RUNNING", 1, ["RUNNING"])


@pytest.fixture
def space_id(store):
    return store.list_embedding_spaces()[0].embedding_space_id


# The clock and the engine


def test_the_databases_time_is_asked_for_twice_a_minute(store, monkeypatch):
    now, asked = [0.0], []

    class Engine:
        def utc_now(self):
            asked.append(now[0])
            return (NOON + timedelta(seconds=2 * now[0])).replace(tzinfo=None)

    monkeypatch.setattr("vector.jobs.queue_records.time.monotonic", lambda: now[0])
    clock = DatabaseClock(Engine())
    assert clock() == NOON
    now[0] = 29.0
    assert clock() == NOON + timedelta(seconds=29)
    now[0] = 31.0
    assert clock() == NOON + timedelta(seconds=62)
    assert asked == [0.0, 31.0]
    assert abs(store.engine.utc_now() - DatabaseClock(store.engine)().replace(tzinfo=None)) < timedelta(seconds=5)


def test_a_transaction_that_another_session_crosses_is_done_again(store):
    """DuckDB ends it with a conflict; the one who crosses here commits while it waits."""
    rival = store.engine.another()
    rival.execute("create table memory.vector.counted as select 1 as n")
    tries = []

    def work():
        tries.append(1)
        if len(tries) == 1:
            rival.connection.execute("begin")
            rival.execute("update memory.vector.counted set n = n + 1")
            try:
                store.engine.execute("update memory.vector.counted set n = n + 10")
            finally:
                rival.connection.execute("commit")
        return store.engine.execute("update memory.vector.counted set n = n + 10")

    assert store.engine.atomically(work) == 1
    assert len(tries) == 2
    assert store.engine.query("select n from memory.vector.counted") == [(12,)]


def test_a_conflict_without_end_is_an_error(store, monkeypatch):
    monkeypatch.setattr("vector.engines.duckdb.engine.time.sleep", lambda seconds: None)
    rival = store.engine.another()
    rival.execute("create table memory.vector.counted as select 1 as n")
    rival.connection.execute("begin")
    rival.execute("update memory.vector.counted set n = 2")
    with pytest.raises(duckdb.TransactionException, match="[Cc]onflict"):
        store.engine.atomically(lambda: store.engine.execute("update memory.vector.counted set n = 3"))


def test_a_second_session_has_the_settings_of_the_first():
    with duckdb.connect() as connection:
        first = DuckDBEngine(connection, settings={"errors_as_json": True})
        assert first.another().another().query("select current_setting('errors_as_json')") == [(True,)]


def test_inputs_are_json_in_the_ledger(jobs, store):
    jobs.enqueue(EMBED, {"b": 1, "a": None})
    ((text,),) = store.engine.query("select input_json from memory.vector.job")
    assert json.loads(text) == {"a": None, "b": 1}


# Rows that somebody else wrote, and workers that a job ends

HOSTILE_INPUTS = {
    "no JSON": "{not json",
    "empty": "",
    "5,000 digits": '{"n": ' + "9" * 5000 + "}",
    "a large real": '{"n": 1e400}',
    "NaN": '{"n": NaN}',
    "100,000 brackets": "[" * 100_000 + "]" * 100_000,
    "brackets that never close": "[" * 100_000,
    "deep objects": '{"a":' * 500 + "1" + "}" * 500,
    "an array": "[1]",
    "a number": "7",
    "null": "null",
}


def unchecked(store):
    """The store over the same queue in a database without constraints, as one that was built before they were."""
    connection = duckdb.connect()
    connection.execute("create schema vector")
    source = store.engine.connection
    for (name,) in source.execute(
        "select table_name from information_schema.tables where table_schema = 'vector'"
    ).fetchall():
        connection.register("copied", source.sql(f"select * from vector.{name} limit 0").to_arrow_table())
        connection.execute(f"create table vector.{name} as select * from copied")
        connection.unregister("copied")
    for ledger in LEDGERS:  # an upsert wants the key
        connection.execute(f"create unique index of_{ledger.table} on vector.{ledger.table} ({', '.join(ledger.key)})")
    return VectorStore(engine=DuckDBEngine(connection))


@pytest.fixture
def open_jobs(store, clock):
    return queue(unchecked(store), clock)


def insert_job(jobs, **values):
    """A job as somebody else may write it."""
    row = {
        "job_type": "EMBED_CHUNKS", "input_json": "{}", "status": "NEW", "priority": 100, "max_attempts": 3,
        "attempt_count": 0, "available_utc": "2024-01-01", "created_utc": "2024-01-01", **values,
    }  # fmt: skip
    jobs.engine.execute(
        f"insert into vector.job ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values())
    )


def test_an_unreadable_input_is_a_dead_letter_and_stops_nobody(open_jobs):
    jobs = open_jobs
    for name, text in HOSTILE_INPUTS.items():
        insert_job(jobs, job_id=name, input_json=text, priority=200)
    good = jobs.enqueue(EMBED, {"n": 1})
    assert {job.job_id for job in jobs.due(99)} == {good.job_id, *HOSTILE_INPUTS}
    for claimed in jobs.claim(99):
        ActiveJob(claimed, jobs, threading.Event()).perform()
    found = {job.job_id: job for job in jobs.latest(99)}
    assert found.pop(good.job_id).status is JobStatus.SUCCEEDED
    assert found.keys() == HOSTILE_INPUTS.keys()
    for name, job in found.items():
        assert job.status is JobStatus.DEADLETTER
        assert job.last_error.startswith(f"InvalidRecord: job {name}: input_json"), job.last_error
        assert job.to_dict()["input_json"] == {"unreadable": job.input_json.reason}
    assert set(jobs.requeue_dead()) == HOSTILE_INPUTS.keys()
    assert jobs.cancel("no JSON")
    # What a row holds stays what it is.
    jobs.store.save_job(replace(jobs.store.get_job("no JSON"), priority=5))
    assert jobs.engine.query("select input_json, priority from vector.job where job_id = 'no JSON'") == [
        ("{not json", 5)
    ]


@given(st.text() | st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_as_input_is_done_or_dead(text):
    row = dict(zip(JOB.column_names, JOB.to_row(VectorJob.create_new(EMBED, {})), strict=True))
    job = JOB.from_row(tuple({**row, "input_json": text}.values()), list)
    json.dumps(job.to_dict(), default=str)
    assert JOB.to_row(job)[JOB.column_names.index("input_json")] == text or not isinstance(
        job.input_json, UnreadableJson
    )
    with handlers(), suppress(InvalidRecord):
        validated_input(EMBED, job.input_json)


def test_a_kind_of_job_of_a_later_version_is_a_dead_letter_and_stops_nobody(open_jobs):
    jobs = open_jobs
    insert_job(jobs, job_id="later", job_type="SUMMARIZE", priority=200)
    insert_job(jobs, job_id="resting", status="SLEEPING")
    good = jobs.enqueue(EMBED, {"n": 1})
    for claimed in jobs.claim(99):
        ActiveJob(claimed, jobs, threading.Event()).perform()
    found = {job.job_id: job for job in jobs.latest(99)}
    assert found[good.job_id].status is JobStatus.SUCCEEDED
    later, resting = found["later"], found["resting"]
    assert later.status is JobStatus.DEADLETTER
    assert later.last_error.startswith("InvalidRecord: job later: job_type is 'SUMMARIZE', which this version does not")
    assert (later.to_dict()["job_type"], resting.to_dict()["status"]) == ("SUMMARIZE", "SLEEPING")
    jobs.store.save_job(replace(later, priority=5))
    assert jobs.engine.query("select job_type, priority from vector.job where job_id = 'later'") == [("SUMMARIZE", 5)]


def test_a_counter_at_the_end_that_the_ledger_allows_is_claimed(jobs):
    insert_job(jobs, job_id="endless", attempt_count=2**31 - 2, max_attempts=2**31 - 1)
    good = jobs.enqueue(EMBED, {})
    assert {claimed.job.job_id for claimed in jobs.claim(9)} == {"endless", good.job_id}


@pytest.mark.parametrize("count", [2**31 - 1, 3, 4])
def test_counters_at_their_end_stop_nobody(open_jobs, count):
    jobs = open_jobs
    for n in range(5):
        insert_job(jobs, job_id=f"spent-{n}", attempt_count=count, priority=200)
    insert_job(jobs, job_id="endless", attempt_count=2**31 - 1, max_attempts=2**31 - 1, priority=2**31 - 1)
    good = jobs.enqueue(EMBED, {})
    claimed = [each for _ in range(2) for each in jobs.claim(1)]
    assert [each.job.job_id for each in claimed] == ["endless", good.job_id]
    assert jobs.fail(claimed[0], "no")
    for job_id in ("spent-0", "spent-4", "endless"):
        assert jobs.store.get_job(job_id).status is JobStatus.DEADLETTER
    assert "no attempt is left: attempt_count had reached max_attempts, 3" in jobs.store.get_job("spent-0").last_error
    assert jobs.retry("spent-0")
    assert jobs.store.get_job("spent-0").attempt_count == 0


def test_a_time_beyond_pythons_years_stops_nobody(open_jobs):
    jobs = open_jobs
    for n, time in enumerate(("infinity", "-infinity", "0044-01-01 (BC)", "290000-01-01")):
        insert_job(jobs, job_id=f"{n}", created_utc=time, available_utc=time)
        insert_job(jobs, job_id=f"{n}r", status="RUNNING", lease_expires_utc=time, locked_run_id="r", attempt_count=1)
    assert {job.job_id for job in jobs.latest(99)} == {"0", "1", "2", "3", "0r", "1r", "2r", "3r"}
    assert {each.job.job_id for each in jobs.claim(99)} == {"1", "2", "1r", "2r"}
    assert json.dumps([job.to_dict() for job in jobs.latest(99)])


@pytest.mark.parametrize("run_id", [None, "00000000-0000-0000-0000-000000000001"])
def test_a_job_that_runs_without_a_lease_is_taken_back(open_jobs, run_id):
    """Else it would keep its dedupe key for ever."""
    jobs = open_jobs
    insert_job(jobs, job_id="adrift", status="RUNNING", dedupe_key="k", locked_run_id=run_id, attempt_count=1)
    with recorded_run(jobs.store, DRIFT, {}) as by_hand:
        (claimed,) = jobs.claim(9)
        assert claimed.job.job_id == "adrift"
        assert jobs.complete(claimed)
        assert jobs.store.get_run(by_hand.run_id).status is RunStatus.RUNNING, "a command's run is its own"
    assert jobs.enqueue(EMBED, {}, dedupe_key="k").job_id != "adrift"
    assert jobs.store.get_job("adrift").last_error == "lease lost: the job was RUNNING without one"


def test_a_job_that_lost_two_workers_in_a_row_is_dead(jobs, other, store):
    job = jobs.enqueue(EMBED, {}, max_attempts=9)
    for each in (jobs, other):
        (claimed,) = each.claim()
        jobs.clock.forward(60)
    assert jobs.claim() == []
    assert state(jobs, job) == ("DEADLETTER", 2, ["FAILED", "FAILED"])
    assert "nor did the worker before it; the job may have ended both" in store.get_job(job.job_id).last_error
    # A retry begins anew: what was before it does not count.
    assert jobs.retry(job.job_id)
    jobs.claim()
    jobs.clock.forward(60)
    (claimed,) = jobs.claim()
    jobs.fail(claimed, "an error of another kind")
    jobs.clock.forward(3600)
    jobs.claim()
    jobs.clock.forward(60)
    assert len(jobs.claim()) == 1
