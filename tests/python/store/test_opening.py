"""Searches while another process writes: from a read copy, logged beside the warehouse, and taken in by the next
writer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import duckdb
import pytest
from support import ScratchProject, clean_copy, posix_only

from vector.contracts.models import REDACTED, VectorRetrieval, VectorRetrievalHit, VectorSourceRegistry
from vector.engines.duckdb.engine import DuckDBEngine
from vector.engines.read_copy import drop_copies, folder_beside, newest_copy, publish_copy
from vector.erasure.places import FILES
from vector.errors import ConfigurationError, DatabaseBusy, InvalidRecord
from vector.project.profile import load_target
from vector.project.relations import Relation, Relations
from vector.search.policy import SearchPolicy
from vector.search.search import search
from vector.spaces.choosing import searched_space
from vector.store.opening import SearchStore, open_to_search, open_to_write, writing
from vector.store.side_log import take_in

pytestmark = pytest.mark.long

QUESTION = "Which moon has geysers?"
WORDS = SearchPolicy("lexical")

# Opens the database for writing, as another process has it; goes on with what it is told on stdin, a statement a line.
HOLDER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
for line in sys.stdin:
    connection.execute(line)
    print("done", flush=True)
"""

# Embeds everything three times over.
EMBEDS = """
import sys
from vector.embedding import embed_space
from vector.project.profile import load_target
from vector.store.opening import open_to_write, writing
target, written = load_target(sys.argv[1], sys.argv[1]), 0
for _ in range(3):
    with writing(target), open_to_write(target) as store:
        store.engine.execute(f"delete from {store.engine.table('embedding')}")
        written += embed_space(store, store.get_embedding_space_by_key("hash")).written
print(written)
"""


@contextmanager
def held(project: ScratchProject, *statements: str, kill: bool = False):
    """Another process has the database open for writing, and has run the statements; at the end it is killed, or
    closes the database."""
    command = [sys.executable, "-c", HOLDER, str(project.database_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as holder:
        assert holder.stdout.readline() == "open\n"
        try:
            for statement in statements:
                print(statement, file=holder.stdin, flush=True)
                assert holder.stdout.readline() == "done\n"
            yield holder
        finally:
            if kill:
                holder.kill()
            holder.stdin.close()
            holder.wait()


@pytest.fixture
def beside(project):
    """The folder beside the warehouse."""
    return folder_beside(project.database_path)


@pytest.fixture
def target(project, monkeypatch):
    monkeypatch.setenv("VECTOR_REDACT_QUERIES", "false")
    return load_target(project.folder, project.folder)


def waiting_searches(beside):
    """The contents of the searches that wait to be taken in, by retrieval id."""
    return {path.stem: json.loads(path.read_text()) for path in (beside / "searches").glob("*.json")}


def asked(store, text=QUESTION, **options):
    """The retrieval id of a search by words."""
    store = store.latest()
    space = store.get_embedding_space_by_key("hash")
    return search(store, space, None, text, 3, policy=WORDS, redact=False, **options).retrieval.retrieval_id


def test_a_search_waits_for_nobody_and_is_in_the_log_afterwards(project, target):
    publish_copy(project.database_path)
    with held(project):
        done = project.vector("search", QUESTION, "--json", "--mode", "lexical")
        assert done.exit_code == 0, done
        assert "note: the warehouse is being written; this is its state of 20" in done.stderr
        again = project.vector("search", QUESTION, "--mode", "lexical")
        assert "logged as" in again.stdout
        assert project.vector("coverage").exit_code == 2  # what writes, or may, is told as ever
    told = json.loads(done.stdout)
    with open_to_write(target) as store:
        logged = store.get_retrieval(told["retrieval_id"])
        assert (logged.query_text, logged.filters, logged.policy) == (QUESTION, told["filters"], told["policy"])
        hits = store.list_retrieval_hits(told["retrieval_id"])
        assert [(hit.chunk_id, hit.score, hit.metadata) for hit in hits] == [
            (hit["chunk_id"], hit["score"], hit["components"]) for hit in told["hits"]
        ]
    replayed = project.vector("replay", told["retrieval_id"], "--json")
    assert json.loads(replayed.stdout)["changed"] == 0


def test_a_search_of_the_free_warehouse_is_in_its_log_at_once(project, beside):
    publish_copy(project.database_path)
    done = project.vector("search", QUESTION, "--json", "--mode", "lexical")
    assert "note:" not in done.stderr
    (count,) = project.query(
        "select count(*) from retrieval where retrieval_id = ?", json.loads(done.stdout)["retrieval_id"]
    )
    assert count == (1,)
    assert waiting_searches(beside) == {}


def test_without_a_copy_a_search_says_what_makes_one(project, target):
    with held(project):
        done = project.vector("search", QUESTION)
        assert done.exit_code == 2
        assert "is in use by process" in done.stderr
        with pytest.raises(DatabaseBusy, match="no read copy of it yet: `vector embed` and `vector refresh` make one"):
            open_to_search(target, stays=True)


def test_embed_makes_the_copy_before_and_after(project, target):
    project.embed()
    copy = newest_copy(project.database_path)
    assert publish_copy(project.database_path) == copy  # current: nothing was written since
    with held(project), open_to_search(target) as store:
        runs = store.list_runs()
    with project.store() as store:
        assert [run.run_id for run in runs] == [run.run_id for run in store.list_runs()]


def test_a_store_that_stays_keeps_nobody_from_writing_and_follows(project, target):
    with open_to_search(target, stays=True) as store:
        assert isinstance(store, SearchStore)
        first = store.latest()
        assert asked(store)
        with held(project, "create table warehouse.vector.meanwhile as select 7 as n"):
            assert asked(store)
            assert store.latest() is first
        end = time.monotonic() + 20  # after a copy that was not to be had, the next is tried later
        while (latest := store.latest()) is first and time.monotonic() < end:
            time.sleep(0.1)
        assert latest.engine.query("select n from warehouse.vector.meanwhile") == [(7,)]
        assert first.engine.query("select count(*) from warehouse.vector.chunk")  # a question under way goes on
        assert store.engine.location == str(project.database_path)
        with pytest.raises(ConfigurationError, match="open for searching only"):
            store.save_source(VectorSourceRegistry("note:1", "note", {}))


def test_what_every_question_looks_up_is_read_once_of_a_copy_and_again_of_the_next(project, target, monkeypatch):
    def lookups(store):
        """What the questions of two searches looked up in the database, of each."""
        asked_for = []
        query = type(store.engine).query
        monkeypatch.setattr(type(store.engine), "query", lambda self, *of: asked_for.append(of[0]) or query(self, *of))
        took = []
        for _ in range(2):
            space = searched_space(store, None)
            asked(store)
            took.append([sql for sql in asked_for if "space_status" in sql or "search_setting" in sql])
            asked_for.clear()
        monkeypatch.undo()
        return space, [len(each) for each in took]

    with open_to_write(target) as written:
        space, took = lookups(written)
        assert took == [2, 2]  # somebody else of this process may write
        assert written.engine.change_token() is None
    with open_to_search(target, stays=True) as store:
        before = store.latest()
        assert lookups(before) == (space, [2, 0])
        token = before.engine.change_token()
        assert token == newest_copy(project.database_path).path.parent.name
        with project.connect() as connection:
            connection.execute("update embedding_space set description = 'another' where is_active")
        after = store.latest()
        assert after.engine.change_token() != token
        changed, took = lookups(after)
        assert (changed.description, took) == ("another", [2, 0])
        assert lookups(before)[0] == space


def test_a_copy_says_nothing_of_relations_that_are_in_another_file():
    elsewhere = Relations("main", named={"chunk": Relation("elsewhere", "vector", "chunk")})
    with duckdb.connect() as connection:
        assert DuckDBEngine(connection, copy="a copy").change_token() == "a copy"
        assert DuckDBEngine(connection, copy="a copy", relations=elsewhere).change_token() is None


def test_what_a_killed_writer_has_committed_is_in_the_copy(project, target):
    """It is in DuckDB's log: nobody has opened the file since."""
    with held(project, "create table warehouse.vector.committed as select 1 as n", kill=True):
        pass
    assert (project.folder / "warehouse.duckdb.wal").stat().st_size
    with open_to_search(target, stays=True) as store:
        assert store.engine.query("select n from warehouse.vector.committed") == [(1,)]


def test_a_copy_is_of_one_moment(project):
    """A writer that commits in two tables at once, without end: each copy has both, or none is made."""
    path = project.database_path
    code = (
        "import duckdb, sys, time\n"
        "while True:\n"
        "    with duckdb.connect(sys.argv[1]) as c:\n"
        "        c.execute('begin'); c.execute('insert into vector.a select range from range(3000)');"
        " c.execute('insert into vector.b select range from range(3000)'); c.execute('commit')\n"
        "    time.sleep(0.03)\n"
    )
    with project.connect() as connection:
        connection.execute("create table a (n int); create table b (n int)")
    seen = set()
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as writer:
        try:
            end = time.monotonic() + 4
            while time.monotonic() < end:
                if copy := publish_copy(path):
                    with duckdb.connect(str(copy.path), read_only=True) as connection:
                        ((a, b),) = connection.execute(
                            "select (select count(*) from vector.a), (select count(*) from vector.b)"
                        ).fetchall()
                        assert a == b
                        seen.add(a)
        finally:
            writer.kill()
    assert seen


def test_taking_in_twice_is_taking_in_once(project, target, beside):
    publish_copy(project.database_path)
    with held(project), open_to_search(target) as store:
        found = asked(store)
    (path,) = (beside / "searches").glob("*.json")
    content = path.read_bytes()
    with open_to_write(target) as store:
        before = store.get_retrieval(found), store.list_retrieval_hits(found)
        assert not path.exists()
        path.write_bytes(content)  # as a process leaves it that is killed between its commit and this
        assert take_in(store) == 0
        assert not path.exists()
        assert (store.get_retrieval(found), store.list_retrieval_hits(found)) == before


def test_what_is_not_whole_is_told_and_left_and_keeps_nothing_else_out(project, target, beside, caplog):
    publish_copy(project.database_path)
    with held(project), open_to_search(target) as store:
        found, other = asked(store), asked(store, "moons")
    (beside / "searches" / f"{other}.json").write_text('{"erasures": 0, "retrieval": {"retr')
    foreign = {"retrieval_id": "x", "embedding_space_id": "0" * 36, "query_text": "x", "top_k": 1, "exact_flag": True}
    whole = {"erasures": 0, "hits": [], "retrieval": foreign}
    (beside / "searches" / "x.json").write_text(json.dumps(whole))
    begun = beside / "searches" / ".begun"
    begun.write_text("{")
    os.utime(begun, (0, 0))
    with open_to_write(target) as store:
        assert store.get_retrieval(found)
        assert store.get_retrieval("x") is None
    assert sorted(path.name for path in (beside / "searches").iterdir()) == sorted([f"{other}.json", "x.json"])
    (line,) = [record.getMessage() for record in caplog.records if "cannot be taken in" in record.getMessage()]
    assert line.startswith("2 logged searches beside the warehouse cannot be taken in, such as ")


def test_a_hit_whose_text_is_gone_is_left_out(project, target, beside):
    publish_copy(project.database_path)
    with held(project), open_to_search(target) as store:
        found = asked(store)
    path = beside / "searches" / f"{found}.json"
    content = json.loads(path.read_text())
    gone, *kept = content["hits"]
    gone["content_sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    with open_to_write(target) as store:
        assert [hit.rank for hit in store.list_retrieval_hits(found)] == [hit["rank"] for hit in kept]


def test_redaction_holds_beside_the_warehouse(project, beside):
    publish_copy(project.database_path)
    project.environment = {"VECTOR_REDACT_QUERIES": "true"}
    with held(project):
        assert project.vector("search", QUESTION).exit_code == 0
    (search_,) = waiting_searches(beside).values()
    assert search_["retrieval"]["query_text"] == REDACTED
    assert "query_embedding" not in search_["retrieval"]
    assert "geysers" not in json.dumps(search_)


@posix_only
def test_what_is_beside_is_its_owners_and_a_folder_of_others_is_refused(project, target, beside, caplog):
    before = os.umask(0)
    try:
        publish_copy(project.database_path)
        with held(project), open_to_search(target) as store:
            asked(store)
    finally:
        os.umask(before)
    for path in beside.rglob("*"):
        assert not path.stat().st_mode & 0o077 or path.name == "copy.json", path
    assert not beside.stat().st_mode & 0o077
    os.chmod(beside / "searches", 0o777)
    with open_to_write(target) as store:
        assert len(waiting_searches(beside)) == 1
    assert "others can write to it" in caplog.text
    os.chmod(beside, 0o777)
    assert publish_copy(project.database_path) is None


def test_an_erasure_reaches_the_copies_and_the_searches_beside(project, target, beside):
    mark = "Sesquipedalian"
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        store.save_retrieval(VectorRetrieval.create_new(space.embedding_space_id, f"{mark} one", 5))
    publish_copy(project.database_path)
    with held(project), open_to_search(target) as store:
        asked(store, f"{mark} two")
        kept = asked(store, "moons")
    unread = beside / "searches" / "torn.json"
    unread.write_text(f'{{"{mark}')
    os.utime(unread, (time.time() - 9, time.time() - 9))
    done = project.vector("erase", "--query", mark, "--reason", "request 1")
    assert done.exit_code == 0, done
    assert "1 file of logged searches that cannot be taken in, deleted" in done.stdout
    assert "retrieval 2" in done.stdout
    files = [project.database_path, *(path for path in beside.rglob("*") if path.is_file())]
    assert {path.name for path in beside.iterdir() if path.is_dir()} == set(FILES)
    assert any("copies" in path.parts for path in files)  # a new one
    assert [path for path in files if mark.encode() in path.read_bytes()] == []
    with open_to_write(target) as store:
        assert store.get_retrieval(kept)


def test_what_was_asked_while_something_was_erased_is_taken_in_redacted(project, target, beside):
    publish_copy(project.database_path)
    with held(project), open_to_search(target) as store:
        found = asked(store, source_ids=["page:io"])
    path = beside / "searches" / f"{found}.json"
    content = path.read_bytes()
    path.unlink()
    assert project.vector("erase", "--query", "nobody", "--reason", "request 2").exit_code == 0
    path.write_bytes(content)  # from a copy of before
    with open_to_write(target) as store:
        logged = store.get_retrieval(found)
    assert (logged.query_text, logged.query_embedding, logged.filters) == (REDACTED, None, None)


def test_pruning_redacts_nothing(project, target, beside):
    publish_copy(project.database_path)
    with held(project), open_to_search(target) as store:
        found = asked(store)
    project.query(
        "insert into erasure (erasure_id, kind, erasure_reason, counts_json, cache_epoch, created_utc)"
        " select 'e', 'pruning', 'old', '{}', 2, now()::timestamp"
    )
    with open_to_write(target) as store:
        assert store.get_retrieval(found).query_text == QUESTION


def test_who_may_only_read_the_file_searches_it_all_the_same(project, target, beside, monkeypatch, caplog):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with open_to_search(target) as store, open_to_search(target) as another:
        assert store.as_of is None
        assert {asked(store), asked(another)} == waiting_searches(beside).keys()
        shutil.rmtree(beside)
        beside.write_text("in the way of the folder")
        assert [asked(store), asked(store)]
    assert len([record for record in caplog.records if "searches are not logged" in record.getMessage()]) == 1
    beside.unlink()


def test_searches_leave_the_database_to_a_command_that_comes_back_to_it(project, target):
    """Between two openings of a refresh, dbt would find it taken."""
    with writing(target), open_to_search(target) as store, held(project):
        assert isinstance(store, SearchStore)
    with open_to_search(target) as store:
        assert not isinstance(store, SearchStore)


def test_the_variable_turns_copies_off(project, beside):
    project.embed()
    assert newest_copy(project.database_path)
    project.edit("dbt_project.yml", "  read_copy: true", "  read_copy: false")
    project.embed()
    assert newest_copy(project.database_path) is None
    with held(project):
        assert project.vector("search", QUESTION).exit_code == 2
    project.edit("dbt_project.yml", "  read_copy: false", "  read_copy: maybe")
    assert "read_copy in" in project.vector("embed").stderr


def test_an_id_that_is_no_name_of_a_file_is_refused(project, target):
    publish_copy(project.database_path)
    with open_to_search(target, stays=True) as store:
        space = store.get_embedding_space_by_key("hash")
        made = VectorRetrieval.create_new(space.embedding_space_id, "moons", 5)
        made.retrieval_id = "../../outside"
        with pytest.raises(InvalidRecord, match="cannot be a file's name"):
            store.save_retrieval(made, [VectorRetrievalHit(made.retrieval_id, 1, "x", 0.5)])


@posix_only
def test_searches_while_embed_runs(project, target, beside):
    """Processes that embed, one after the other, and threads that search with a store that stays and with one for each
    question: all of them are answered and logged, once. `benchmarks/search_while_writing.py` has 1,000 with 20,000
    chunks."""
    project.embed()
    with (
        open_to_search(target, stays=True) as staying,
        subprocess.Popen(
            [sys.executable, "-c", EMBEDS, str(project.folder)],
            env=clean_copy(os.environ),
            stdout=subprocess.PIPE,
            encoding="utf-8",
        ) as embedding,
    ):
        ids, errors = [], []

        def ask(open_one):
            try:
                for _ in range(10):
                    store = open_one()
                    ids.append(asked(store))
                    if store is not staying:
                        store.close()
            except Exception as error:
                errors.append(error)

        openers = (lambda: staying, lambda: open_to_search(target))
        threads = [threading.Thread(target=ask, args=[each]) for each in openers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        written = int(embedding.stdout.read().split()[-1])
        assert embedding.wait() == 0
    assert errors == []
    with open_to_write(target) as store:
        assert [each for each in ids if store.get_retrieval(each) is None] == []
        assert (
            written == 3 * store.engine.query(f"select count(*) from {store.engine.table('embedding_current')}")[0][0]
        )
    assert waiting_searches(beside) == {}
    assert len(set(ids)) == 20


def test_copies_are_dropped_whole(project, beside):
    publish_copy(project.database_path)
    assert drop_copies(project.database_path)
    assert not drop_copies(project.database_path)
    assert list((beside / "copies").iterdir()) == []
