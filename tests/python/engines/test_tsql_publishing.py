"""What the publish gate sends to SQL Server, seen by a connection that records."""

from datetime import datetime

import pytest
from tsql.driver import pyodbc
from tsql.session import Server, assert_t_sql

from vector.contracts.ledgers import EMBEDDING_SPACE, SPACE_PUBLICATION
from vector.contracts.models import EmbeddingSpace, PublicationAction, SpacePublication
from vector.engines.sqlserver.engine import SqlServerEngine
from vector.errors import PublicationRefused
from vector.evaluation.data_tests import DataTests
from vector.evaluation.gate import GateOptions, check_gate
from vector.spaces.publications import History, default_space, retire, status_of, switch
from vector.store import VectorStore

SETTINGS = ("eval_query_input", "eval_judgment_input", "publish_threshold_input")
OLD, NEW = (EmbeddingSpace.create_new("hash", name, 8, space_key=name) for name in ("old", "new"))
FIRST = SpacePublication.create_new(1, OLD.embedding_space_id, PublicationAction.PUBLISH, "vm:1")
BEFORE, LATER = datetime(2026, 1, 1), datetime(2026, 1, 2)


@pytest.fixture
def server():
    server = Server()
    objects = server.answers.pop()
    spaces = {space.embedding_space_id: EMBEDDING_SPACE.to_row(space) for space in (OLD, NEW)}
    scores = [("nDCG@10", f"q{i}", 0.6 + 0.01 * i) for i in range(36)]
    server.answers += [
        (objects[0], [*objects[1], *((name,) for name in SETTINGS)]),
        (r"from \[vector\]\.\[space_publication\]", [SPACE_PUBLICATION.to_row(FIRST)]),
        (r"from \[vector\]\.\[embedding_space\]", lambda given: [spaces[given[0]]]),
        (r"from \[vector\]\.\[space_coverage\]", [(10, 10, 0, 0)]),
        (r"^select query_set, count", [("demo", 36)]),
        (r"from \[vector\]\.\[publish_threshold_input\]", [("demo", "dense", "nDCG@10", 0.5, 0.02)]),
        (r"from \[vector\]\.\[evaluation\]", [("e" * 64, LATER, '{"method":"dense","per_source":1}')]),
        (r"from \[vector\]\.\[eval_score\]", scores),
        (r"from \[vector\]\.\[embedding\]", [(BEFORE, None)]),
        (r"^select embedding_space_id, is_default", [(OLD.embedding_space_id, True), (NEW.embedding_space_id, False)]),
        (r"^select status from \[vector\]\.\[space_status\]", [("live",)]),
    ]
    return server


@pytest.fixture
def connection(server):
    made = pyodbc.Connection(server.answer, autocommit=True)
    yield made
    assert_t_sql(made)
    for call in made.calls:
        if call["call"] == "execute" and "sql" in call:
            assert call["sql"].count("?") == len(call["parameters"])


@pytest.fixture
def store(connection):
    return VectorStore(engine=SqlServerEngine(connection))


def test_the_gate_only_reads_and_the_switch_is_one_insert(store, connection, server):
    connection.calls.clear()
    gate = check_gate(store, NEW, DataTests(40), GateOptions())
    assert gate.passed, gate.checks
    assert (gate.live.space_key, len(gate.checks)) == ("old", 5)
    assert all(call["sql"].startswith("select") for call in connection.calls if "sql" in call)
    assert not any("commit" in call["call"] for call in connection.calls)

    server.answers.insert(0, (r"inner join #vector_staged", []))
    connection.calls.clear()
    publication = switch(store, gate.history, NEW, PublicationAction.PUBLISH, gate.evidence(), "it's better")
    assert (publication.publication_number, publication.previous_space_id) == (2, OLD.embedding_space_id)
    calls = [call.get("sql", call["call"]) for call in connection.calls]
    writes = [sql for sql in calls if sql.startswith(("insert into [", "update", "delete"))]
    assert len(writes) == 1
    assert writes[0].startswith("insert into [vector].[space_publication] (publication_id, publication_number,")
    assert calls.count("commit") == 1
    assert not any("it's" in sql for sql in calls)


def test_the_second_of_two_switches_is_refused(store, server):
    taken = pyodbc.IntegrityError("23000", "[23000] Violation of UNIQUE KEY constraint. (2627)")
    server.answers.insert(0, (r"^insert into \[vector\]\.\[space_publication\]", [taken]))
    server.answers.insert(0, (r"inner join #vector_staged", []))
    with pytest.raises(PublicationRefused, match=r"publication 1 meanwhile \(publish by vm:1\)"):
        switch(store, History(()), NEW, PublicationAction.PUBLISH)


def test_the_default_space_and_a_retirement(store, server):
    server.answers.insert(0, (r"inner join #vector_staged", []))
    assert default_space(store).space_key == "old"
    assert status_of(store, OLD) == "live"
    assert retire(store, NEW).action is PublicationAction.RETIRE
    with pytest.raises(PublicationRefused, match="old is the one that search uses"):
        retire(store, OLD)
