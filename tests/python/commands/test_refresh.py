"""`vector refresh`: what it does in which order, what stops it, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import duckdb
import pytest
from support import clean_copy

from vector import engines
from vector.commands import refresh
from vector.errors import ConfigurationError, DatabaseBusy, ProviderError
from vector.files import locked
from vector.project.dbt import DbtRun, NodeResult
from vector.project.profile import Target

PUBLISHED = """
    insert into space_publication
    select cast(uuid() as varchar), 1, embedding_space_id, null, 'publish', now(), 'w', null, null from embedding_space
"""


def change_a_page(project, number):
    pages = project.rows("page")
    assert ". " in pages[number]["payload_json"]
    pages[number]["payload_json"] = pages[number]["payload_json"].replace(". ", ". Later, ", 1)
    project.write_rows("page", pages)


def refreshed(project, *arguments):
    """What a refresh prints, its exit code and the lines on stderr."""
    done = project.vector("refresh", "--json", "--quiet", *arguments)
    return json.loads(done.stdout), done.exit_code, done.stderr.splitlines()


# With dbt


@pytest.mark.long
def test_coverage_is_tested_when_it_is_there(project):
    """A test that is run before embed warns at each new text. What is red afterwards is told, and the vectors are
    stored all the same."""
    with project.connect() as connection:
        connection.execute(PUBLISHED)
        connection.execute("update job set attempt_count = max_attempts + 1")
    change_a_page(project, 0)
    project.refresh()
    early = project.test("--select", "live_space_is_covered")
    assert early.ended("warn") == {"live_space_is_covered"}, early.output
    ((pending,),) = project.query("select count(*) from embedding_pending")

    change_a_page(project, 1)
    shown, code, told = refreshed(project)

    assert (shown["build"]["failed"], shown["build"]["warned"], shown["test"]["warned"]) == ([], [], [])
    assert shown["build"]["changes"]["source_registry"] == {"inserted": 0, "updated": 1}
    (space,) = shown["embed"]["spaces"]
    assert space["written"] > pending > 0
    assert project.query("select count(*) from embedding_pending") == [(0,)]
    assert shown["build"]["passed"] > 70
    assert shown["test"]["passed"] > 60
    assert (shown["test"]["built"], shown["test"]["skipped"]) == ({"model": 1}, 0)
    assert project.query("select count(*) from space_map") == project.query("select count(*) from embedding_current")
    assert [node["name"] for node in shown["test"]["failed"]] == ["job_attempts_within_maximum"]
    assert (code, told) == (5, ["error: test job_attempts_within_maximum: Got 1 result, configured to fail if != 0"])


def test_a_red_test_before_embed_keeps_it_from_paying(project):
    policies = project.rows("chunk_policy")
    project.write_rows("chunk_policy", [{**row, "overlap": row["chunk_size"]} for row in policies])
    with project.connect() as connection:
        connection.execute("delete from embedding")
    before = project.contents()
    shown, code, told = refreshed(project)
    assert code == 5
    assert (shown["embed"], shown["test"]) == (None, None)
    assert [node["name"] for node in shown["build"]["failed"]] == ["chunk_policy_is_valid_chunk_policy_input_"]
    assert shown["build"]["skipped"] > 10
    assert told[0].startswith("error: test chunk_policy_is_valid_chunk_policy_input_: Got ")
    assert told[1:] == ["error: nothing was embedded, as what stands before the vectors has failed"]
    assert project.contents() == before


def test_a_dry_run_does_nothing(project):
    before = project.contents()
    with project.connect() as connection:
        connection.execute("delete from embedding where embedding_id = (select min(embedding_id) from embedding)")
    shown, code, _ = refreshed(project, "--dry-run")
    assert code == 0
    assert (shown["build"]["nodes"]["model"], "model" in shown["test"]["nodes"]) == (53, False)
    assert [space["chunks"] for space in shown["embed"]["spaces"]] == [1]
    assert project.contents("embedding") == {key: rows for key, rows in before.items() if key != "embedding"}


def test_a_project_that_dbt_cannot_read_is_told(project):
    project.edit("dbt_project.yml", "config-version: 2", "config-version: 3")
    shown, code, (line,) = refreshed(project)
    assert code == 2
    assert line.startswith("error: dbt could not run: Internal Error Got an unexpected project version=3")
    assert shown["exit_code"] == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
def test_a_signal_ends_dbt_too(project):
    code = "import sys; from vector.cli import main; sys.exit(main())"
    where = ["--project-dir", str(project.folder), "--profiles-dir", str(project.folder)]
    with subprocess.Popen(
        [sys.executable, "-c", code, "refresh", *where], env=clean_copy(os.environ), cwd=project.folder,
        stderr=subprocess.PIPE, encoding="utf-8",
    ) as process:  # fmt: skip
        lock = project.folder / "target" / "vector_refresh.lock"
        while not held_by(project):
            assert process.poll() is None
            time.sleep(0.05)
        assert lock.read_text() == str(process.pid)
        process.send_signal(signal.SIGTERM)
        said = process.communicate()[1]
    assert process.returncode == 143, said
    assert "stopped; what was finished is stored" in said
    assert not held_by(project), "dbt is at work without anybody to wait for it"
    assert project.query("select count(*) from embedding")


def held_by(project):
    """Whether another process has the database open."""
    try:
        duckdb.connect(str(project.database_path)).close()
        return False
    except duckdb.IOException:
        return True


# One at a time


def test_a_second_refresh_says_so(project):
    with locked(project.folder / "target" / "vector_refresh.lock"):
        done = project.vector("refresh", "--wait", "0.2")
    assert done.exit_code == 2
    waiting, error = done.stderr.splitlines()
    assert waiting == f"waiting: another refresh of this project is at work: process {os.getpid()};" \
        " wait for it, or stop it"  # fmt: skip
    assert error == waiting.replace("waiting:", "error:")


def test_a_second_refresh_waits(project, monkeypatch):
    """The lock is let go while it waits; then it goes on to dbt, which is not run here."""
    monkeypatch.setattr(refresh, "_POLL_SECONDS", 0.01)
    holding = locked(project.folder / "target" / "vector_refresh.lock")
    holding.__enter__()
    monkeypatch.setattr(refresh.time, "sleep", lambda seconds: holding.__exit__(None, None, None))
    monkeypatch.setattr(refresh.Dbt, "run", dbt_that_gives(GREEN, GREEN))
    done = project.vector("refresh")
    assert done.exit_code == 0, done


@pytest.mark.parametrize("free", [True, False])
def test_on_sql_server_one_host_at_a_time(tmp_path, monkeypatch, free):
    """By a lock of the database, which is held as long as the work, and let go with its connection."""
    told = []

    class Server:
        claim = None  # it has a queue

        @contextmanager
        def exclusive(self, name):
            told.append(f"asked for {name}")
            try:
                yield free
            finally:
                told.append("let go")

        def close(self):
            told.append("closed")

    monkeypatch.setattr(engines, "_connected", lambda target, relations: Server())
    (tmp_path / "dbt_project.yml").write_text("name: p")
    target = Target("p", "t", "sqlserver", "vector", {}, tmp_path)
    if free:
        with engines.alone(target, "refresh"):
            told.append("at work")
            with pytest.raises(DatabaseBusy, match="another refresh of this project"), engines.alone(target, "refresh"):
                pass
    else:
        with pytest.raises(DatabaseBusy, match="another refresh of schema vector is"), engines.alone(target, "refresh"):
            pass
    assert told == ["asked for refresh", *(["at work"] if free else []), "let go", "closed"]


# How it ends, whatever dbt says

GREEN = (("model.vector_runtime.chunk", "success", "OK"), ("test.vector_runtime.a.1", "pass", None))
WARNED = (("test.vector_runtime.b.1", "warn", "Got 2 results, configured to warn if != 0"),)
FAILED = (("test.vector_runtime.c.1", "fail", "Got 1 result, configured to fail if != 0"),)
BROKEN = (
    (
        "model.vector_runtime.document",
        "error",
        "Database Error in model document\n  no such column\n  compiled code at x",
    ),
    ("model.vector_runtime.chunk", "skipped", None),
)


def dbt_that_gives(*runs):
    """In place of Dbt.run: what each run in turn ends with."""
    left = list(runs)

    def run(self, *arguments, on_progress=None):
        return DbtRun(tuple(NodeResult(*each, 0.1) for each in left.pop(0)), ())

    return run


def embed_that(ends):
    def embedded(self):
        if isinstance(ends, Exception):
            raise ends
        return [], ends

    return embedded


@pytest.mark.parametrize(
    ("build", "embed", "test", "exit_code", "told"),
    [
        (GREEN, 0, GREEN, 0, []),
        (GREEN + WARNED, 0, GREEN, 0, ["warning: test b: Got 2 results, configured to warn if != 0"]),
        (GREEN, 1, GREEN, 1, []),
        (GREEN, 3, GREEN, 3, []),
        (GREEN, 4, FAILED, 5, ["error: test c: Got 1 result, configured to fail if != 0"]),
        (GREEN, 1, WARNED, 1, ["warning: test b: Got 2 results, configured to warn if != 0"]),
        (GREEN, ConfigurationError("no embedding space is active"), GREEN, 2,
         ["error: embed: no embedding space is active"]),
        (GREEN, ProviderError("the server is down"), GREEN, 3, ["error: embed: the server is down"]),
        (GREEN, 70, None, 70, []),
        (BROKEN, None, None, 5, ["error: model document: Database Error in model document no such column",
         "error: nothing was embedded, as what stands before the vectors has failed"]),
        (FAILED, None, None, 5, ["error: test c: Got 1 result, configured to fail if != 0",
         "error: nothing was embedded, as what stands before the vectors has failed"]),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_highest(project, monkeypatch, build, embed, test, exit_code, told):
    """A step that is None must not be reached."""
    monkeypatch.setattr(refresh.Dbt, "run", dbt_that_gives(*(each for each in (build, test) if each is not None)))
    monkeypatch.setattr(refresh._Steps, "_embedded", embed_that(embed))
    shown, code, lines = refreshed(project)
    assert (code, lines) == (exit_code, told)
    assert (shown["embed"] is None, shown["test"] is None) == (
        embed is None or isinstance(embed, Exception), test is None,
    )  # fmt: skip
    assert ("error" in shown) == any(line.startswith("error: ") for line in told)
    assert shown["exit_code"] == exit_code
