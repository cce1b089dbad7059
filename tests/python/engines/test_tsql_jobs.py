"""What the handlers of jobs send to SQL Server, seen by a connection that records."""

import pytest
from job_support import StandInContext
from tsql.driver import pyodbc
from tsql.session import HOSTILE, SPACE, Server, assert_t_sql

from vector.chunking.sources import cut, read_document, store_source
from vector.contracts.ledgers import EMBEDDING_SPACE
from vector.contracts.models import EmbeddingSpace, VectorJob, VectorRun
from vector.engines.sqlserver.engine import SqlServerEngine
from vector.errors import ConfigurationError
from vector.jobs.handlers import chunk_source
from vector.jobs.handlers import drift as drift_test
from vector.jobs.handlers import retrieve as retrieve_test
from vector.store import VectorStore


@pytest.fixture
def server():
    server = Server()
    objects = server.answers.pop()
    names = ("chunk_policy_input", "document", "eval_query_input", "eval_judgment_input")
    server.answers.append((objects[0], [*objects[1], *((name,) for name in names)]))
    return server


@pytest.fixture
def connection(server):
    made = pyodbc.Connection(server.answer, autocommit=True)
    yield made
    assert_t_sql(made)
    assert not [call["sql"] for call in made.calls if "'; drop" in call.get("sql", "")]


@pytest.fixture
def store(connection):
    return VectorStore(engine=SqlServerEngine(connection))


def context(store, job_type, given):
    job = VectorJob.create_new(job_type, given)
    return StandInContext(store, job, VectorRun.create_new(job.job_id, "test:1"))


def statements(connection, verb):
    return [call["sql"] for call in connection.calls if call.get("sql", "").startswith(verb)]


def test_a_source_is_locked_and_written_in_one_transaction(store, connection, server):
    server.answers.insert(0, (r"from \[vector\]\.\[chunk_policy_input\]", [("v", 40, 5, 9, None, None, True)]))
    given = {"source_id": HOSTILE, "source_type": HOSTILE, "from": {"text": "a text " * 20}}
    connection.calls.clear()
    metrics = chunk_source.run(context(store, "CHUNK_SOURCE", given))
    assert metrics["chunks"] > 2
    calls = [call.get("sql", call["call"]) for call in connection.calls]
    (lock,) = [sql for sql in calls if "set updated_utc = updated_utc" in sql]
    writes = [sql for sql in calls if sql.startswith(("insert into [", "update [vector].[chunk]"))]
    assert len(writes) >= 3
    assert all(calls.index(sql) > calls.index(lock) for sql in writes)
    between = calls[calls.index(lock) : calls.index(writes[-1])]
    assert "commit" not in between


def test_a_row_of_document_is_read_by_parameter(store, connection, server):
    row = (HOSTILE, "page", "{}", "a text", HOSTILE, None, None, None, "f" * 64, "characters", "v", 40, 5, 9)
    server.answers.insert(0, (r"from \[vector\]\.\[document\]", [row]))
    document, policy = read_document(store, HOSTILE, as_dbt_stores_it=True)
    assert (document.title, policy.to_dict()["chunk_size"]) == (HOSTILE, 40)
    store_source(store, *cut(document, policy))


@pytest.mark.parametrize(
    ("handler", "given", "message"),
    [
        (retrieve_test, {"space_key": HOSTILE}, "no question"),
        (drift_test, {"space_key_a": HOSTILE, "space_key_b": "b"}, "no question"),
        (drift_test, {"run_id_a": HOSTILE[:30], "run_id_b": "b"}, "has logged no question"),
    ],
)
def test_questions_and_runs_are_read(store, server, handler, given, message):
    spaces = [EmbeddingSpace(SPACE, "hash", "hash", 8, space_key=key) for key in (HOSTILE, "b")]
    rows = [EMBEDDING_SPACE.to_row(space) for space in spaces]
    server.answers.insert(0, (r"from \[vector\]\.\[embedding_space\]", rows))
    with pytest.raises(ConfigurationError, match=message):
        handler.run(context(store, "RETRIEVE_TEST", given))
