"""The door for Python: `vector.open()`."""

import json
import logging
import threading

import duckdb
import pytest

import vector
from vector.errors import ConfigurationError, VectorError
from vector.search.evidence import Passage
from vector.search.search import FoundChunk
from vector.warehouse import Warehouse

QUESTION = "Which moon has geysers?"


def logged(warehouse):
    return [each.retrieval_id for each in warehouse.store.list_retrievals()]


# Questions


def test_one_line_to_an_answer_which_is_logged_and_can_be_replayed(opened, project):
    hits = opened.search(QUESTION, top_k=3)
    assert len(hits) == 3
    assert all(isinstance(hit, FoundChunk) for hit in hits)
    assert [hit.rank for hit in hits] == [1, 2, 3]
    assert hits.retrieval_id in logged(opened)
    opened.close()
    told = json.loads(project.vector("replay", hits.retrieval_id, "--json").stdout)
    assert told["replayed"] == 1
    assert told["changed"] == 0


def test_it_asks_as_the_command_does(opened, project):
    of_door = opened.search(QUESTION, top_k=5, mode="lexical", source_type="entity", log=False)
    opened.close()
    done = project.vector(
        *("search", QUESTION, "--top-k", "5", "--mode", "lexical", "--source-type", "entity", "--no-log", "--json")
    )
    of_command = json.loads(done.stdout)
    assert len(of_door) == 5
    assert [hit.chunk_id for hit in of_door] == [hit["chunk_id"] for hit in of_command["hits"]]
    assert of_door.retrieval.policy == of_command["policy"]
    assert of_door.retrieval.filters == of_command["filters"]


def test_evidence_is_a_sequence_of_passages_within_the_budget(opened):
    found = opened.evidence(QUESTION, max_tokens=200, top_k=4, source_id=["entity:io", "entity:europa"])
    assert found.tokens <= 200
    assert all(isinstance(passage, Passage) for passage in found)
    assert found.retrieval_id in logged(opened)
    with pytest.raises(TypeError, match="sauce_type"):
        opened.evidence(QUESTION, sauce_type="entity")


def test_what_is_not_to_be_logged_is_not(opened, monkeypatch):
    before = logged(opened)
    assert opened.search(QUESTION, log=False).retrieval_id is None
    assert logged(opened) == before
    monkeypatch.setenv("VECTOR_REDACT_QUERIES", "true")
    redacted = opened.search(QUESTION, redact=False)
    assert opened.store.get_retrieval(redacted.retrieval_id).query_text == "[redacted]"


def test_it_follows_the_warehouse_without_being_opened_again(opened, project):
    (first,) = opened.search(QUESTION, top_k=1)
    with project.connect() as connection:  # as another process would, through the same file
        connection.execute("update chunk set retired_utc = now() where chunk_id = ?", [first.chunk_id])
    assert first.chunk_id not in [hit.chunk_id for hit in opened.search(QUESTION, top_k=50)]


def test_closed_it_lets_others_write_and_opens_again_at_the_next_question(opened, project):
    opened.search(QUESTION, top_k=1)
    opened.close()
    with duckdb.connect(str(project.database_path), config={"threads": 1}):  # refused while it is open otherwise
        pass
    assert len(opened.search(QUESTION, top_k=1)) == 1


def test_threads_may_share_it(opened):
    before, failed = len(logged(opened)), []

    def ask():
        try:
            for _ in range(5):
                assert len(opened.search(QUESTION, top_k=2)) == 2
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(logged(opened)) == before + 20


# A connection of one's own


def test_over_a_connection_that_only_reads_it_searches_and_says_once_that_nothing_is_logged(project, caplog):
    before = project.query("select count(*) from retrieval")
    with duckdb.connect(str(project.database_path), read_only=True) as connection, caplog.at_level(logging.WARNING):
        warehouse = vector.open(connection=connection)
        for _ in range(2):
            hits = warehouse.search(QUESTION, top_k=2)
            assert len(hits) == 2
            assert hits.retrieval_id is None
        warehouse.close()
        assert connection.execute("select 1").fetchall() == [(1,)]  # it is the caller's
    assert [r.getMessage() for r in caplog.records if "not logged" in r.getMessage()] == [
        f"{project.database_path} is open for reading only: searches are not logged"
    ]
    assert project.query("select count(*) from retrieval") == before


def test_a_connection_and_a_target_are_two_databases():
    with pytest.raises(ConfigurationError, match="target and connection name two databases"):
        vector.open("dev", connection=object())
    with pytest.raises(ConfigurationError, match="embed needs the dbt project"):
        Warehouse(connection=object()).embed()


# The commands


@pytest.mark.long
def test_embed_does_what_the_command_does_and_says_what_went_wrong(opened, project):
    with project.connect() as connection:
        connection.execute("delete from embedding where chunk_id in (select min(chunk_id) from embedding)")
    opened.search(QUESTION)  # it is open, and has to let go
    (summary,) = opened.embed("hash")["spaces"]
    assert (summary["space_key"], summary["written"]) == ("hash", 1)
    assert opened.embed()["spaces"][0]["planned"] == 0
    with pytest.raises(VectorError, match="nothing") as raised:
        opened.embed("nothing")
    assert raised.value.exit_code == 2


# Results


def test_results_are_sequences_and_data_frames_that_have_no_vector_in_them(opened):
    hits = opened.search(QUESTION, top_k=3)
    frame, table = hits.to_pandas(), hits.to_arrow()
    assert list(frame.columns) == table.column_names == list(hits.COLUMNS)
    assert frame["chunk_id"].tolist() == table["chunk_id"].to_pylist() == [hit.chunk_id for hit in hits]
    assert json.loads(frame["components"][0]) == hits[0].components
    assert hits[:2] == hits.items[:2]
    for shown in (repr(hits), repr(hits.retrieval), repr(opened.store.list_embeddings(limit=1))):
        assert "vector=" not in shown
        assert "query_embedding" not in shown


def test_an_empty_result_has_the_same_columns_and_types(opened):
    none = opened.search(QUESTION, source_type="nothing")
    some = opened.search(QUESTION, top_k=1)
    assert len(none) == 0
    assert none.to_arrow().schema == some.to_arrow().schema
    assert none.to_pandas().dtypes.tolist() == some.to_pandas().dtypes.tolist()
    passages = opened.evidence(QUESTION, source_type="nothing")
    assert passages.to_arrow().num_rows == len(passages.to_pandas()) == 0


def test_a_notebook_shows_what_a_document_says_as_text(opened):
    hits = opened.search(QUESTION, top_k=1)
    object.__setattr__(hits[0], "content", "<script>alert('x')</script>\x1b[2J " + "long " * 200)
    object.__setattr__(hits[0], "source_title", "<b>bold</b>")
    shown = hits._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "\x1b" not in shown
    assert "&lt;script&gt;" in shown
    assert len(shown) < 1000
