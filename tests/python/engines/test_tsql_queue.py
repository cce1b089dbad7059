"""What the queue sends to SQL Server, seen by a connection that records. That the locks keep workers apart, only a
server can show: test_conformance.py."""

import re

import pytest
from queue_support import NOON, Clock, handlers, queue
from tsql.driver import pyodbc
from tsql.session import HOSTILE, Server, assert_t_sql

from vector.contracts.ledgers import JOB
from vector.contracts.models import JobType, VectorJob
from vector.engines.sqlserver.engine import SqlServerEngine
from vector.errors import ConfigurationError
from vector.jobs.queue import ClaimedJob
from vector.jobs.queue_records import run_of
from vector.store import VectorStore

JOB_ID, RUN_ID = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
NAIVE = NOON.replace(tzinfo=None)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def connection(server):
    made = pyodbc.Connection(server.answer, autocommit=True)
    yield made
    # sqlglot does not know TOP of an UPDATE.
    assert_t_sql(made, lambda sql: sql.replace("update top (cast(? as int)) job", "update job"))


@pytest.fixture
def jobs(connection):
    with handlers():
        made = queue(VectorStore(engine=SqlServerEngine(connection)), Clock(), HOSTILE)
        connection.calls.clear()
        yield made


def job_row(**changes):
    """A row of `job` that a claim gives."""
    job = VectorJob(JOB_ID, JobType.EMBED_CHUNKS, {"n": 1}, locked_by=HOSTILE, locked_run_id=RUN_ID, locked_utc=NOON)
    for name, value in changes.items():
        setattr(job, name, value)
    return JOB.to_row(job)


def sent(connection, pattern):
    """The calls whose statement has the pattern, without the count that the engine asks for."""
    calls = [{**call, "sql": call.get("sql", "").removesuffix("; select @@rowcount")} for call in connection.calls]
    return [call for call in calls if re.search(pattern, call["sql"])]


def claimed():
    job = JOB.from_row(job_row(), None)
    return ClaimedJob(job, run_of(job))


def test_rows_are_claimed_and_looked_for_under_locks(jobs, connection, server):
    """The stand-in of the live suite ignores these hints."""
    server.answers.insert(0, (r"output inserted\.job_id", [job_row()]))
    server.answers.insert(0, (r"as json_row\) as staged on open_job", [job_row(dedupe_key="k")]))
    assert [each.job.job_id for each in jobs.claim(3, [JobType.EMBED_CHUNKS, JobType.DRIFT_TEST])] == [JOB_ID]
    assert jobs.enqueue(JobType.EMBED_CHUNKS, {}, dedupe_key="k").job_id == JOB_ID
    (claim,), (insert,) = sent(connection, "update top"), sent(connection, r"^insert into \[vector\]\.\[job\]")
    assert claim["sql"].count("[vector].[job] as job with (rowlock, updlock, readpast, readcommittedlock)") == 3
    assert claim["sql"].count("order by job.priority desc, job.available_utc, job.job_id)") == 2
    assert "from [vector].[job] as open_job with (updlock, holdlock) where" in insert["sql"]


def test_a_claim_stays_below_the_limit_of_parameters(jobs, connection):
    assert jobs.claim(10**9) == []
    (claim,) = sent(connection, "update top")
    assert max(each for each in claim["parameters"] if isinstance(each, int)) <= 1000


def test_a_lost_lease_writes_no_run(jobs, connection, server):
    server.answers.insert(0, (r"^update \[vector\]\.\[job\]", lambda parameters: []))
    assert not jobs.fail(claimed(), HOSTILE)
    assert not jobs.release(claimed())
    assert not jobs.heartbeat(claimed())
    assert jobs.heartbeat_all([]) == set()
    assert sent(connection, r"update \[vector\]\.\[run\]") == []


def test_every_other_statement_is_t_sql(jobs, connection, server):
    server.answers.insert(0, (r"^select dedupe_key", [("k",)]))
    server.answers.insert(0, (r"^select job_id, locked_run_id", [(JOB_ID, RUN_ID, HOSTILE, NAIVE, 1, 3, None)]))
    server.answers.insert(0, (r"^select job_id from", [(JOB_ID,)]))
    server.answers.insert(0, (r"^select locked_run_id from", [(RUN_ID,)]))
    assert jobs.take_back_lapsed() == 1
    assert jobs.cancel(JOB_ID)
    assert jobs.requeue_dead([JobType.DRIFT_TEST]) == [JOB_ID]
    assert jobs.due(3, [JobType.DRIFT_TEST]) == []
    assert jobs.release(claimed())
    assert jobs.complete(claimed(), {"texts": 1})
    assert jobs.fail(claimed(), HOSTILE)
    assert jobs.heartbeat(claimed())
    assert not [call for call in sent(connection, ".") if HOSTILE in call["sql"]]
    (requeued,) = sent(connection, "not exists")
    assert "from [vector].[job] as open_job with (updlock, holdlock)" in requeued["sql"]


def test_a_claim_leaves_a_spent_counter_as_it_is_and_gives_the_job_up(jobs, connection, server):
    spent = job_row(attempt_count=2**31 - 1)
    answers = iter([[spent], []])
    server.answers.insert(0, (r"output inserted\.job_id", lambda parameters: next(answers)))
    assert jobs.claim() == []
    claim, _ = sent(connection, "update top")
    assert "attempt_count + case when job.attempt_count < 2147483646 then 1 else 0 end" in claim["sql"]
    (given_up,) = sent(connection, r"^update \[vector\]\.\[job\]")
    assert "DEADLETTER" in given_up["parameters"]
    assert not sent(connection, "^insert into")


def test_the_time_is_the_servers(jobs, server):
    server.answers.insert(0, (r"sysutcdatetime\(\)", [(NAIVE,)]))
    assert jobs.engine.utc_now() == NAIVE


def test_a_thread_gets_a_connection_of_its_own(connection, server):
    made = []

    def reconnect():
        made.append(pyodbc.Connection(server.answer, autocommit=True))
        return made[-1]

    engine = SqlServerEngine(connection, reconnect=reconnect)
    assert [engine.another().connection, engine.another().another().connection] == [made[0], made[2]]
    with pytest.raises(ConfigurationError, match="connections of their own"):
        SqlServerEngine(connection).another()
