"""The publish gate and the handlers of jobs on SQL Server, by a connection that records: every statement of theirs is
T-SQL, and holds no value. What they do is in test_conformance.py."""

from datetime import datetime

import pytest
from job_support import StandInContext
from tsql.driver import pyodbc
from tsql.session import HOSTILE, Server, assert_t_sql

from vector.chunking.sources import cut, read_document, store_source
from vector.contracts.ledgers import EMBEDDING_SPACE, SPACE_PUBLICATION
from vector.contracts.models import EmbeddingSpace, PublicationAction, SpacePublication, VectorJob, VectorRun
from vector.engines.sqlserver.engine import SqlServerEngine
from vector.errors import ConfigurationError
from vector.evaluation.data_tests import DataTests
from vector.evaluation.gate import GateOptions, check_gate
from vector.jobs.handlers import chunk_source
from vector.jobs.handlers import drift as drift_test
from vector.jobs.handlers import retrieve as retrieve_test
from vector.spaces.publications import default_space, retire, status_of, switch
from vector.store import VectorStore

SETTINGS = ("chunk_policy_input", "document", "eval_query_input", "eval_judgment_input", "publish_threshold_input")
OLD, NEW = (EmbeddingSpace.create_new("hash", HOSTILE + name, 8, space_key=HOSTILE + name) for name in ("old", "new"))
FIRST = SpacePublication.create_new(1, OLD.embedding_space_id, PublicationAction.PUBLISH, "vm:1")


@pytest.fixture
def server():
    server = Server()
    pattern, names = server.answers.pop()
    server.answers += [(pattern, [*names, *((name,) for name in SETTINGS)])]
    return server


@pytest.fixture
def store(server):
    made = pyodbc.Connection(server.answer, autocommit=True)
    yield VectorStore(engine=SqlServerEngine(made))
    assert_t_sql(made)
    assert not [call["sql"] for call in made.calls if "'; drop" in call.get("sql", "")]


def test_the_gate_and_the_switch(store, server):
    spaces = {space.embedding_space_id: EMBEDDING_SPACE.to_row(space) for space in (OLD, NEW)}
    server.answers[:0] = [
        (r"inner join #vector_staged", []),
        (r"from \[vector\]\.\[embedding_space\]", lambda given: [spaces[given[0]]]),
        (r"from \[vector\]\.\[space_publication\]", [SPACE_PUBLICATION.to_row(FIRST)]),
        (r"from \[vector\]\.\[space_coverage\]", [(10, 10, 0, 0)]),
        (r"^select query_set, count", [("demo", 36)]),
        (r"from \[vector\]\.\[publish_threshold_input\]", [("demo", "dense", "nDCG@10", 0.5, 0.02)]),
        (r"from \[vector\]\.\[evaluation\]", [("e" * 64, datetime(2026, 1, 2), '{"method":"dense","per_source":1}')]),
        (r"from \[vector\]\.\[eval_score\]", [("nDCG@10", f"q{i}", 0.6 + 0.01 * i) for i in range(36)]),
        (r"from \[vector\]\.\[embedding\]", [(datetime(2026, 1, 1), None)]),
        (r"^select embedding_space_id, is_default", [(OLD.embedding_space_id, True)]),
        (r"^select status from \[vector\]\.\[space_status\]", [("live",)]),
    ]
    gate = check_gate(store, NEW, DataTests(40), GateOptions())
    assert (gate.passed, gate.live, len(gate.checks)) == (True, OLD, 5), gate.checks
    assert switch(store, gate.history, NEW, PublicationAction.PUBLISH, gate.evidence(), HOSTILE).publication_number == 2
    assert (default_space(store), status_of(store, OLD)) == (OLD, "live")
    assert retire(store, NEW, HOSTILE).action is PublicationAction.RETIRE


def run(store, handler, job_type, given):
    job = VectorJob.create_new(job_type, given)
    return handler.run(StandInContext(store, job, VectorRun.create_new(job.job_id, "test:1")))


def test_a_source_is_cut_and_written(store, server):
    server.answers.insert(0, (r"from \[vector\]\.\[chunk_policy_input\]", [("v", 40, 5, 9, None, None, True)]))
    given = {"source_id": HOSTILE, "source_type": HOSTILE, "from": {"text": "a text " * 20}}
    assert run(store, chunk_source, "CHUNK_SOURCE", given)["chunks"] > 2
    row = (HOSTILE, "page", "{}", "a text", HOSTILE, None, None, None, "f" * 64, "characters", "v", 40, 5, 9)
    server.answers.insert(0, (r"from \[vector\]\.\[document\]", [row]))
    store_source(store, *cut(*read_document(store, HOSTILE, as_dbt_stores_it=True)))


@pytest.mark.parametrize(
    ("handler", "given", "message"),
    [
        (retrieve_test, {"space_key": HOSTILE + "old"}, "no question"),
        (drift_test, {"space_key_a": HOSTILE + "old", "space_key_b": HOSTILE + "new"}, "no question"),
        (drift_test, {"run_id_a": HOSTILE[:30], "run_id_b": "b"}, "has logged no question"),
    ],
)
def test_questions_and_runs_are_read(store, server, handler, given, message):
    rows = [EMBEDDING_SPACE.to_row(space) for space in (OLD, NEW)]
    server.answers.insert(0, (r"from \[vector\]\.\[embedding_space\]", rows))
    with pytest.raises(ConfigurationError, match=message):
        run(store, handler, "RETRIEVE_TEST", given)
