"""When DuckDB gives a database up, or has no memory or disk left: one line says so, nothing that was stored is lost,
and the work goes on in the database opened anew."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support import PROJECT_DIR, ScratchProject, clean_copy

from vector.engines import engine_for_target
from vector.engines.duckdb.engine import DuckDBEngine
from vector.errors import DatabaseFailed
from vector.project.profile import load_target

ROWS = 20_000
SHA256S = "select sha256(concat(?::varchar, i)) as id, 'x' as s from range(?) as numbers (i)"
PROFILES = """\
vector_runtime:
  target: duckdb
  outputs:
    duckdb: {{type: duckdb, path: '{path}', schema: vector, settings: {settings}}}
"""


@pytest.fixture
def opened(tmp_path):
    """Opens a database with a table of ROWS keys as the commands do, with settings of a profile."""
    engines = []

    def open_with(**settings) -> DuckDBEngine:
        path = tmp_path / "keys.duckdb"
        if not path.exists():
            with duckdb.connect(str(path)) as connection:
                connection.execute("create schema vector")
                connection.execute("create table vector.keys (id varchar primary key, s varchar, unique (id, s))")
                connection.execute(f"insert into vector.keys {SHA256S}", ["old", ROWS])
        (tmp_path / "dbt_project.yml").write_text("name: vector_runtime\nprofile: vector_runtime\n")
        (tmp_path / "profiles.yml").write_text(PROFILES.format(path=path, settings=settings))
        engines.append(engine_for_target(load_target(tmp_path, tmp_path)))
        return engines[-1]

    yield open_with
    for engine in engines:
        engine.close()


def count(engine: DuckDBEngine) -> int:
    return engine.query(f"select count(*) from {engine.table('keys')}")[0][0]


def end_the_database(engine: DuckDBEngine) -> None:
    """Commits an index that does not fit: the limit falls when the rows are in the transaction."""

    def work() -> None:
        engine.execute(f"insert into {engine.table('keys')} {SHA256S}", ["new", ROWS])
        engine.execute("set memory_limit = '16MB'")

    engine.atomically(work)


def test_a_commit_that_does_not_fit_loses_nothing_and_the_database_is_opened_anew(opened):
    engine = opened(threads=1)
    engine.execute(f"insert into {engine.table('keys')} values ('committed', 'y')")
    with pytest.raises(DatabaseFailed) as failed:
        end_the_database(engine)
    told = str(failed.value)
    assert "\n" not in told
    assert "could not allocate" in told
    assert "what was committed before is stored, the database is open again: raise memory_limit" in told
    assert failed.value.exit_code == 70
    assert count(engine) == ROWS + 1
    engine.execute(f"insert into {engine.table('keys')} values ('later', 'y')")
    assert engine.query("select current_setting('threads')") == [(1,)], "the profile's settings hold again"
    engine.close()
    with duckdb.connect(str(Path(engine_path(opened)))) as connection:
        assert connection.execute("select count(*) from vector.keys").fetchall() == [(ROWS + 2,)]


def engine_path(opened) -> str:
    engine = opened()
    path = engine.location
    engine.close()
    return path


def test_what_fails_for_want_of_memory_without_ending_the_database_says_so(opened):
    engine = opened(threads=1, memory_limit="12MB")
    with pytest.raises(DatabaseFailed, match="not enough memory: .*what was committed before is stored.*memory_limit"):
        engine.execute(f"insert into {engine.table('keys')} {SHA256S}", ["new", 5 * ROWS])
    assert count(engine) == ROWS


def test_other_sessions_go_on_after_one_has_ended_the_database(opened):
    engine = opened(threads=1)
    other, streaming = engine.another(), engine.another()
    rows = streaming.stream(f"select id from {engine.table('keys')}")
    next(rows)
    with pytest.raises(DatabaseFailed):
        end_the_database(engine)
    # Between transactions a session notices nothing; in the middle of rows it is told.
    other.execute(f"insert into {other.table('keys')} values ('other', 'y')")
    assert count(other) == count(engine) == ROWS + 1
    with pytest.raises(DatabaseFailed, match="another session"):
        list(rows)
    other.close()
    streaming.close()


def test_a_transaction_that_another_session_lost_is_done_again(opened):
    engine = opened(threads=1)
    other = engine.another()
    calls = []

    def work() -> None:
        other.execute(f"insert into {other.table('keys')} values ('first', 'y')")
        calls.append(len(calls))
        if len(calls) == 1:
            with pytest.raises(DatabaseFailed):
                end_the_database(engine)
        other.execute(f"insert into {other.table('keys')} values ('second', 'y')")

    other.atomically(work)
    assert calls == [0, 1]
    assert count(other) == ROWS + 2
    other.close()


def test_many_threads_outlive_the_database(opened):
    engine = opened(threads=1)
    sessions = [engine.another() for _ in range(3)]
    stop, errors = threading.Event(), []

    def write(number: int, session: DuckDBEngine) -> None:
        sql = f"insert into {session.table('keys')} values (?, 'y')"
        written = 0
        while not stop.is_set() or written == 0:
            try:
                session.atomically(partial(session.execute, sql, [f"{number}/{written}"]))
                written += 1
            except DatabaseFailed as error:
                if not error.lost:
                    errors.append(error)
                    return
        totals[number] = written

    totals: dict[int, int] = {}
    threads = [threading.Thread(target=write, args=each) for each in enumerate(sessions)]
    for thread in threads:
        thread.start()
    with suppress(DatabaseFailed):
        end_the_database(engine)
    stop.set()
    for thread in threads:
        thread.join(60)
    # A thread may have met the failure in a statement of its own before the one that caused it was told.
    assert all("DuckDB" in str(error) for error in errors)
    assert count(engine) == ROWS + engine.query(f"select count(*) from {engine.table('keys')} where s = 'y'")[0][0]
    for number, written in totals.items():
        found = engine.query(f"select count(*) from {engine.table('keys')} where id like ?", [f"{number}/%"])
        assert found == [(written,)], "what was committed is stored"
    for session in sessions:
        session.close()


def test_a_connection_of_the_callers_is_not_closed_under_him(tmp_path):
    with duckdb.connect(str(tmp_path / "keys.duckdb")) as connection:
        connection.execute("create schema vector; set threads = 1")
        connection.execute("create table vector.keys (id varchar primary key, s varchar, unique (id, s))")
        connection.execute(f"insert into vector.keys {SHA256S}", ["old", ROWS])
        connection.execute("checkpoint")
        engine = DuckDBEngine(connection)
        with pytest.raises(DatabaseFailed, match="what was committed before is stored: close it and open it anew"):
            end_the_database(engine)


def test_without_a_limit_in_the_profile_half_of_the_memory_is_the_limit(opened):
    limit = "select parse_formatted_bytes(current_setting('memory_limit'))"
    default = duckdb.connect().execute(limit).fetchone()[0]
    engine = opened()
    assert engine.query(limit)[0][0] == pytest.approx(default * 0.625, rel=0.01)
    engine.close()
    # Those of a process with one file share the limit: it is not halved by each.
    assert opened().query(limit) == opened().query(limit) == opened().query(limit)
    for settings in ({"memory_limit": "64MB"}, {"MAX_MEMORY": "64MB"}):
        engine = opened(**settings)
        assert engine.query(limit)[0][0] == pytest.approx(64_000_000, rel=0.01)
        engine.close()


CHUNKS = 20_000


@pytest.fixture
def many_chunks(project: ScratchProject) -> ScratchProject:
    """The project with so many further chunks that the indexes of what embed writes do not fit into 32 MB."""
    with project.connect() as connection:
        connection.execute(
            """
            insert into chunk by name
            select
                sha256(concat('chunk', n)) as chunk_id, concat('note:', n) as source_id, 'note' as source_type,
                '{}' as source_ref_json, '{"chunk_index":0,"end_offset":0,"start_offset":0}' as offsets_json,
                concat('Text ', n) as content, sha256(concat('Text ', n)) as content_sha256,
                strlen(concat('Text ', n)) as byte_count, '{}' as policy_json, 'python' as managed_by,
                timestamp '2026-01-01' as created_utc, timestamp '2026-01-01' as updated_utc
            from range(?) as numbers (n)
            """,
            [CHUNKS],
        )
        connection.execute(
            "insert into chunk_version by name select chunk_id, content_sha256, content, created_utc from chunk"
            " where source_type = 'note'"
        )
    return project


def embed(project: ScratchProject, prepare: Callable[[], None] | None = None, **settings: Any) -> Any:
    """`embed` in a process of its own, with settings in its profile."""
    profile = PROFILES.format(path=project.database_path, settings=settings)
    (project.folder / "profiles.yml").write_text(profile, encoding="utf-8")
    folders = ("--project-dir", str(project.folder), "--profiles-dir", str(project.folder))
    return subprocess.run(
        [sys.executable, str(PROJECT_DIR / "scripts" / "embed.py"), "--quiet", "--batch-size", "500", *folders],
        env=clean_copy(os.environ), cwd=project.folder, capture_output=True, encoding="utf-8", preexec_fn=prepare,
    )  # fmt: skip


def assert_nothing_is_lost(project: ScratchProject, failed: Any, reason: str) -> int:
    """One line on stderr; what stdout says was written is what the ledger has; and the next run does the rest once."""
    assert failed.returncode == 70, failed
    # A full disk has no room for a read copy either.
    (line,) = [each for each in failed.stderr.splitlines() if "no read copy is made (File too large)" not in each]
    assert line.startswith("error: hash: ")
    assert reason in line
    assert "what was committed before is stored" in line
    stored = len(
        project.query(
            "select * from embedding where chunk_id in (select chunk_id from chunk where source_type = 'note')"
        )
    )
    assert stored < CHUNKS
    done = embed(project)
    assert done.returncode == 0, done
    notes = "select count(*), count(distinct chunk_id) from embedding inner join chunk using (chunk_id)"
    assert project.query(f"{notes} where source_type = 'note'") == [(CHUNKS, CHUNKS)]
    states = dict(project.query("select run_id, status from run where job_id in (select job_id from job)"))
    assert "RUNNING" not in states.values()
    return stored


@pytest.mark.long
def test_embed_without_enough_memory(many_chunks):
    failed = embed(many_chunks, threads=1, memory_limit="32MB")
    stored = assert_nothing_is_lost(many_chunks, failed, "memory_limit")
    assert (f"{stored:,}" in failed.stdout) or not stored, failed.stdout


@pytest.mark.long
def test_embed_on_a_full_disk(many_chunks):
    # A file that may not grow, DuckDB's log here, is to a program what a full disk is, and needs no rights.
    resource = pytest.importorskip("resource")
    room = 3_000_000
    failed = embed(many_chunks, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
    assert_nothing_is_lost(many_chunks, failed, "the disk is full")
