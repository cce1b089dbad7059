"""What was erased is in no column and no file of the warehouse, and stays out of it."""

import json
import os
import signal
import subprocess
import sys

import pytest
from support import clean_copy, posix_only

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import (
    EmbeddingFailure,
    Erasure,
    ErasureKind,
    JobType,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorRun,
    VectorSourceRegistry,
)
from vector.embedding import embed_space
from vector.erasure.places import is_listed
from vector.errors import InvalidRecord

pytestmark = pytest.mark.long

SOURCE = "note:jane"
# In every version of the source's text, in its title, and in whatever quotes it.
MARK = "Sesquipedalian"
FIRST = f"{MARK} remarks by Jane about the orbit of Io, the first version of them."
# As long as the first, so that it is the same chunk.
SECOND = f'{MARK} remarks by Jane about "the orbit"\nof Io, corrected by her.'.ljust(len(FIRST), ".")
REASON = "request 17"


@pytest.fixture
def written(project):
    """A source of Python's own with two versions, vectors, a failure, hits, and all that may quote it. Beside it
    another source, which stays."""
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        sources = [VectorSourceRegistry(each, "note", {"file": each}, title=f"{each} by {MARK}") for each in (SOURCE,)]
        store.save_sources([*sources, VectorSourceRegistry("note:other", "note", {"file": "other"})])
        chunker = Chunker(ChunkingPolicy())
        for text in (FIRST, SECOND):
            store.save_chunks(chunker.chunk(text, SOURCE, "note"))
            embed_space(store, space)
        store.save_chunks(chunker.chunk("The other note, about moons and planets.", "note:other", "note"))
        embed_space(store, space)
        chunk, *_ = store.list_chunks(SOURCE)
        (other,) = store.list_chunks("note:other")
        store.save_embedding_failures(
            [
                EmbeddingFailure.create_new(
                    chunk.chunk_id, space.embedding_space_id, chunk.content_sha256, "refused", FIRST
                )
            ]
        )
        asked = VectorRetrieval.create_new(space.embedding_space_id, "Which moon?", 5)
        hits = [
            VectorRetrievalHit(asked.retrieval_id, n, each.chunk_id, 0.5) for n, each in enumerate((chunk, other), 1)
        ]
        store.save_retrieval(asked, hits)
        quoting = VectorRetrieval.create_new(space.embedding_space_id, f"Who said: {FIRST}", 5)
        named = VectorRetrieval.create_new(space.embedding_space_id, "Io?", 5, filters={"source_ids": [SOURCE]})
        for each in (quoting, named):
            store.save_retrieval(each, [VectorRetrievalHit(each.retrieval_id, 1, other.chunk_id, 0.5)])
        job = VectorJob.create_new(
            JobType.CHUNK_SOURCE, {"source_id": SOURCE, "source_type": "note", "from": {"text": SECOND}}
        )
        shared = VectorJob.create_new(JobType.EMBED_CHUNKS, {"space_key": "hash", "source_ids": ["note:other"]})
        ours = VectorJob.create_new(JobType.EMBED_CHUNKS, {"space_key": "hash", "source_ids": [SOURCE]})
        store.save_jobs([job, shared, ours])
        store.save_run(VectorRun.create_new(job.job_id, "w", error=f"refused: {SECOND}"))
        (run, *_) = (each for each in store.list_runs() if each.status.value == "SUCCEEDED" and each.metrics)
        run.error = f"of {FIRST}"
        store.save_run(run)
    return {"asked": asked.retrieval_id, "job": job.job_id, "shared": shared.job_id, "run": run.run_id}


def erase(project, *arguments):
    return project.vector("erase", *arguments, "--reason", REASON)


def columns_with(project, *needles):
    """Every column of every table, views aside, that has one of the texts in it, whatever its type."""
    found = []
    with project.connect() as connection:
        columns = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns() inner join duckdb_tables()"
            " using (database_name, schema_name, table_name)"
        ).fetchall()
        assert len(columns) > 150
        for schema, table, column in columns:
            for needle in needles:
                for form in (needle, json.dumps(needle)[1:-1]):
                    sql = f'select count(*) from "{schema}"."{table}" where contains(cast("{column}" as varchar), ?)'
                    if connection.execute(sql, [form]).fetchone()[0]:
                        found.append(f"{table}.{column}")
    return sorted(set(found))


def bytes_of(project):
    """The database's file and whatever is beside it."""
    return b"".join(path.read_bytes() for path in sorted(project.folder.glob("warehouse.duckdb*")))


def erasures(project):
    return project.query(
        "select kind, completed_utc is not null, lifted_utc is not null from erasure order by created_utc"
    )


def test_an_erased_source_is_in_no_column_and_no_byte(project, written):
    assert "chunk_version.content" in columns_with(project, MARK)
    assert MARK.encode() in bytes_of(project)
    before = project.contents("erasure")
    counted = erase(project, "--source-id", SOURCE, "--dry-run", "--json")
    assert counted.exit_code == 0, counted
    assert project.contents("erasure") == before
    assert erasures(project) == []

    done = erase(project, "--source-id", SOURCE, "--json")
    assert done.exit_code == 0, done
    assert columns_with(project, MARK, SOURCE) == []
    assert MARK.encode() not in bytes_of(project)
    assert [path.name for path in project.folder.glob("warehouse.duckdb*")] == ["warehouse.duckdb"]
    assert erasures(project) == [("source", True, False)]
    (told,) = json.loads(done.stdout)["erased"]
    (planned,) = json.loads(counted.stdout)["erased"]
    assert told["rows"]["chunk"] == 1
    assert told["rows"]["chunk_version"] == told["rows"]["embedding"] == 2
    assert planned["rows"]["chunk_version"] == 2
    assert told["elsewhere"] == {}
    assert "was written anew" in json.loads(done.stdout)["freed"]
    ((stored,),) = project.query("select counts_json from erasure")
    assert json.loads(stored) == told["rows"]


def test_what_is_of_others_stays(project, written):
    before = {
        name: set(map(str, rows)) for name, rows in project.contents("erasure", "job", "run", "retrieval_hit").items()
    }
    assert erase(project, "--source-id", SOURCE).exit_code == 0
    for name, rows in project.contents("erasure", "job", "run", "retrieval_hit").items():
        left = set(map(str, rows))
        gone = before[name] - left
        assert left <= before[name]
        assert all(MARK in row or name in ("embedding", "chunk", "retrieval") for row in gone), (name, gone)
    # The search keeps its row and its other hit, at the rank that it had.
    assert project.query("select rank from retrieval_hit where retrieval_id = ?", written["asked"]) == [(2,)]
    assert project.query("select count(*) from retrieval where retrieval_id = ?", written["asked"]) == [(1,)]
    assert project.query("select job_id from job where job_id = ?", written["shared"]) == [(written["shared"],)]
    assert project.query("select job_id from job where job_id = ?", written["job"]) == []
    # A run whose vectors others need is blanked.
    assert project.query("select error, metrics_json from run where run_id = ?", written["run"]) == [(None, None)]
    tested = project.test()
    assert tested.success, tested.output


def test_the_row_that_stays_names_nothing(project, written):
    assert erase(project, "--source-id", SOURCE).exit_code == 0
    with project.store() as store:
        (erasure,) = store.list_erasures()
    assert erasure.is_of(SOURCE)
    assert not erasure.is_of("note:other")
    assert len(erasure.salt) == 64
    assert erasure.erasure_reason == REASON
    assert SOURCE not in json.dumps(erasure.to_dict())
    made = {Erasure.create_new(ErasureKind.SOURCE, SOURCE, REASON).subject_sha256 for _ in range(3)}
    assert len(made) == 3


def test_a_source_in_the_tables_stays_out_until_it_is_lifted(project):
    source = "page:io"
    kept = project.query("select * from source_registry where source_id <> ? order by all", source)
    ((content, title),) = project.query("select content, title from document where source_id = ?", source)
    assert erase(project, "--source-id", source).exit_code in (0, 1)
    for _ in range(2):
        project.refresh(seeds=False)
        assert project.query("select count(*) from document where source_id = ?", source) == [(0,)]
        for ledger in ("source_registry", "chunk"):
            assert project.query(f"select count(*) from {ledger} where source_id = ?", source) == [(0,)]
    assert project.query("select * from source_registry order by all") == kept
    assert project.query("select count(*) from chunk_version where contains(content, ?)", content[:300]) == [(0,)]

    with project.store() as store:
        with pytest.raises(InvalidRecord, match="was erased"):
            store.save_source(VectorSourceRegistry(source, "page", {}))
        with pytest.raises(InvalidRecord, match="was erased"):
            store.save_chunks(Chunker(ChunkingPolicy()).chunk("A text of Io.", source, "page"))
    job = json.dumps({"source_id": source, "source_type": "note", "from": {"text": "A text of Io."}})
    assert project.vector("enqueue", "CHUNK_SOURCE", "--input", job).exit_code == 0
    assert project.vector("worker", "--once").exit_code == 1
    assert project.query("select status, last_error like '%was erased%' from job where job_type = 'CHUNK_SOURCE'") == [
        ("DEADLETTER", True)
    ]
    assert project.query("select count(*) from chunk where source_id = ?", source) == [(0,)]

    lifted = erase(project, "--lift", "--source-id", source)
    assert lifted.exit_code == 0, lifted
    assert erase(project, "--lift", "--source-id", source).exit_code == 2
    project.refresh(seeds=False)
    assert project.query("select title from source_registry where source_id = ?", source) == [(title,)]
    project.embed()
    tested = project.test("--select", "erasure", "erased_source_is_gone", "source_registry", "chunk")
    assert tested.success, tested.output


def test_a_source_that_came_back_by_another_way_turns_a_test_red(project, written):
    assert erase(project, "--source-id", SOURCE).exit_code == 0
    with project.connect() as connection:
        connection.execute(
            "insert into source_registry by name select source_registry.* replace (? as source_id) from source_registry"
            " limit 1",
            [SOURCE],
        )
    tested = project.test("--select", "erased_source_is_gone")
    assert not tested.success
    again = erase(project, "--source-id", SOURCE)
    assert again.exit_code == 0, again
    assert "source_registry 2" in again.stdout  # of both times
    assert project.test("--select", "erased_source_is_gone").success
    assert len(erasures(project)) == 1
    assert "nothing is left" in erase(project, "--source-id", SOURCE).stdout


def test_what_erasure_does_not_touch_is_named(project, written):
    with project.connect() as connection:
        connection.execute(f"create table of_mine as select '{FIRST.replace(chr(39), '')}' as words, 1 as number")
        connection.execute("update eval_query set query_text = ? where query_id = 'q01'", [SECOND])
    done = erase(project, "--source-id", SOURCE, "--json")
    assert done.exit_code == 1
    (told,) = json.loads(done.stdout)["erased"]
    assert told["elsewhere"] == {"of_mine.words": 1, "eval_query.query_text": 1}
    assert "of_mine.words" in done.stderr
    assert json.loads(project.query("select counts_json from erasure")[0][0])["elsewhere"] == told["elsewhere"]


def test_every_column_of_text_is_on_the_list(project):
    """A text that a later change stores is reached, or this is red."""
    with project.connect() as connection:
        connection.execute("create table space_map_like as select 1 as one")
        columns = connection.execute(
            "select table_name, column_name from information_schema.columns inner join information_schema.tables"
            " using (table_catalog, table_schema, table_name) where table_type = 'BASE TABLE'"
            " and table_schema = 'vector' and (data_type like '%VARCHAR%' or data_type like 'FLOAT%')"
        ).fetchall()
    assert len(columns) > 100
    assert [each for each in columns if not is_listed(*each)] == []
    assert not is_listed("job", "a_later_column")
    assert not is_listed("a_later_table", "content")


def test_logged_questions_are_erased_with_their_hits(project):
    with project.store() as store:
        space = store.get_embedding_space_by_key("hash")
        (chunk,) = store.list_chunks(limit=1)
        asked = {}
        for question in ("Where does Jane DOE live, and with whom?", "jane doe's moons", "Which moons are there?"):
            made = VectorRetrieval.create_new(space.embedding_space_id, question, 1)
            store.save_retrieval(made, [VectorRetrievalHit(made.retrieval_id, 1, chunk.chunk_id, 0.5)])
            asked[question] = made.retrieval_id
        job = VectorJob.create_new(
            JobType.DRIFT_TEST, {"note": "Where does Jane DOE live, and with whom?"}, status="SUCCEEDED"
        )
        store.save_job(job)
    before = project.query("select count(*) from retrieval")[0][0]
    done = erase(project, "--query", "Jane Doe", "--json")
    assert done.exit_code == 0, done
    (told,) = json.loads(done.stdout)["erased"]
    assert told["rows"] == {"job": 1, "retrieval_hit": 2, "retrieval": 2}
    assert columns_with(project, "Jane D", "jane d") == []
    assert b"Jane DOE" not in bytes_of(project)
    assert project.query("select count(*) from retrieval") == [(before - 2,)]
    assert project.query("select kind from erasure") == [("query",)]
    assert project.vector("search", "jane doe again").exit_code == 0
    again = erase(project, "--query", "Jane Doe", "--json")
    assert json.loads(again.stdout)["erased"][0]["rows"]["retrieval"] == 1
    assert len(erasures(project)) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--source-id", "note:nobody"), "there is no source 'note:nobody'"),
        (("--source-id", "page:io", "--source-id", "note:nobody"), "there is no source"),
        (("--source-id", "page:io "), "ends with a blank"),
        (("--source-id", "x" * 401), "longer than 400"),
        (("--source-id", ""), "is empty"),
        (("--query", " \u00a0"), "is empty"),
        ((), "nothing is named"),
        (("--lift", "--query", "x"), "--lift goes with"),
        (("--lift", "--source-id", "page:io"), "is not kept out"),
        (("--query", "REQUEST"), "the reason names the question"),
    ],
)
def test_what_is_refused_changes_nothing(project, arguments, told):
    before = project.contents()
    done = erase(project, *arguments)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done
    assert told in done.stderr
    assert project.contents() == before


def test_a_reason_is_needed(project):
    assert project.vector("erase", "--source-id", "page:io", "--reason", "  ").exit_code == 2
    with pytest.raises(SystemExit):
        project.vector("erase", "--source-id", "page:io")


def test_more_rows_than_a_batch(project, written):
    with project.connect() as connection:
        connection.execute(
            "insert into retrieval select retrieval.* replace (cast(uuid() as varchar) as retrieval_id)"
            " from retrieval, range(4500) where retrieval_id = ?",
            [written["asked"]],
        )
        connection.execute(
            "insert into retrieval_hit select retrieval.retrieval_id, hit.rank, hit.chunk_id, hit.content_sha256,"
            " hit.score, hit.metadata_json from retrieval, retrieval_hit as hit where hit.retrieval_id = ?"
            " and hit.rank = 1 and query_text = 'Which moon?' and retrieval.retrieval_id <> hit.retrieval_id",
            [written["asked"]],
        )
    done = erase(project, "--source-id", SOURCE, "--json")
    assert json.loads(done.stdout)["erased"][0]["rows"]["retrieval_hit"] >= 4501
    assert project.query("select count(*) from retrieval where query_text = 'Which moon?'") == [(4501,)]
    assert columns_with(project, MARK) == []


def test_the_rewritten_file_is_as_dbt_has_built_it(project, written):
    shape = "select * from (select table_name, comment, sql from duckdb_tables()) order by all"
    before = project.query(shape), project.query("select view_name from duckdb_views() where not internal order by all")
    assert erase(project, "--source-id", SOURCE).exit_code == 0
    assert (
        project.query(shape),
        project.query("select view_name from duckdb_views() where not internal order by all"),
    ) == before
    done = project.build()
    assert "Rebuild" not in done.output
    with pytest.raises(Exception, match="foreign key"), project.connect() as connection:
        connection.execute("delete from chunk where chunk_id in (select chunk_id from chunk_version)")


def test_copies_are_dropped_here_and_by_other_hosts(project, written, tmp_path):
    hosts = [tmp_path / "here", tmp_path / "there"]
    for host in hosts:
        project.environment = {"VECTOR_CACHE_DIR": str(host)}
        for language in ("none", "english"):
            found = project.vector("search", MARK, "--mode", "lexical", "--language", language, "--no-log")
            assert found.exit_code == 0, found
            assert SOURCE in found.stdout
    needle = MARK.lower().encode()

    def kept(host):
        return [path for path in host.rglob("*") if path.is_file() and needle[:10] in path.read_bytes()]

    assert kept(hosts[0])
    assert kept(hosts[1])
    project.environment = {"VECTOR_CACHE_DIR": str(hosts[0])}
    assert erase(project, "--source-id", SOURCE).exit_code == 0
    assert kept(hosts[0]) == []
    assert kept(hosts[1])
    # Whatever the other host searches for next, all of its copies go.
    project.environment = {"VECTOR_CACHE_DIR": str(hosts[1])}
    assert project.vector("search", "orbit", "--mode", "lexical", "--language", "none", "--no-log").exit_code == 0
    assert kept(hosts[1]) == []
    indexes = sorted((hosts[1] / "lexical").iterdir())
    assert len(indexes) == 1
    assert project.vector("search", "orbit", "--mode", "lexical", "--language", "none", "--no-log").exit_code == 0
    assert sorted((hosts[1] / "lexical").iterdir()) == indexes


# Ends itself as kill -9 does at the nth statement that is no select, or at the first one that begins so.
KILLED = """
import os, signal, sys
from vector.cli import main
from vector.engines.duckdb import rewriting
from vector.engines.duckdb.engine import DuckDBEngine

at, left = sys.argv[1], int(sys.argv[1]) if sys.argv[1].isdigit() else 0
execute, replace_file = DuckDBEngine.execute, rewriting.replace_file

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def counted(self, sql, *rest):
    global left
    left -= 1
    if left == 0 or sql.startswith(at):
        die()
    return execute(self, sql, *rest)

def replaced(*names):
    if at == "replace":
        die()
    replace_file(*names)
    if at == "replaced":
        die()

DuckDBEngine.execute, rewriting.replace_file = counted, replaced
sys.exit(main(sys.argv[2:]))
"""


def killed(project, at, *arguments):
    """The exit code, and stderr, of an erasure that is killed at a point, if it comes to it."""
    where = ("--project-dir", project.folder, "--profiles-dir", project.folder)
    command = [sys.executable, "-c", KILLED, at, "erase", *arguments, "--reason", REASON, *where]
    env = {**clean_copy(os.environ), "VECTOR_CACHE_DIR": ""}
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, encoding="utf-8")
    return done.returncode, done.stderr


@posix_only
def test_an_erasure_that_is_killed_goes_on(project, written):
    named = ("--source-id", SOURCE)
    # Further each time: all writes of an erasure are met, and in transactions too.
    points = [*map(str, range(1, 14)), "copy from", "detach", "replace", "replaced"]
    for at in points:
        code, told = killed(project, at, *named)
        assert code == -signal.SIGKILL, (at, told)
        for kind, completed, lifted in erasures(project):
            assert (kind, completed, lifted) == ("source", False, False)
        if erasures(project):
            with project.store() as store, pytest.raises(InvalidRecord, match="was erased"):
                store.save_source(VectorSourceRegistry(SOURCE, "note", {}))
    done = erase(project, *named, "--json")
    assert done.exit_code == 0, done
    (told,) = json.loads(done.stdout)["erased"]
    # What the killed ones had deleted is counted, once.
    assert (told["rows"]["chunk"], told["rows"]["chunk_version"], told["rows"]["source_registry"]) == (1, 2, 1)
    assert columns_with(project, MARK, SOURCE) == []
    assert MARK.encode() not in bytes_of(project)
    assert [path.name for path in project.folder.glob("warehouse.duckdb*")] == ["warehouse.duckdb"]
    assert erasures(project) == [("source", True, False)]
    tested = project.test()
    assert tested.success, tested.output


def test_a_file_that_somebody_has_open_is_not_replaced(project, written):
    """By another connection of this process, which would go on with the old file."""
    with project.connect():
        done = erase(project, "--source-id", SOURCE)
        assert done.exit_code == 70
        assert "is open elsewhere" in done.stderr
    assert erasures(project) == [("source", False, False)]
    assert erase(project, "--source-id", SOURCE).exit_code == 0
    assert MARK.encode() not in bytes_of(project)
    assert erasures(project) == [("source", True, False)]
