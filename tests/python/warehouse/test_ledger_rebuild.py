"""A ledger whose declared shape differs by more than new columns is made anew by `dbt build`, and loses no row."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from last_version import last_version, ledgers, rows_of_then
from support import ScratchProject

pytestmark = pytest.mark.dbt


@pytest.fixture(scope="module")
def kept_last_version(tmp_path_factory) -> ScratchProject:
    return last_version(tmp_path_factory.mktemp("last_version") / "project")


@pytest.fixture
def old(kept_last_version) -> ScratchProject:
    """The ledgers of the last release, and today's project over them."""
    kept_last_version.reset()
    return kept_last_version


def declare(project, ledger, *changes):
    """Edits a ledger's yml: pairs of an old passage and a new one."""
    for before, after in changes:
        project.edit(f"models/ledgers/{ledger}.yml", before, after)


def version_2(project, ledger, conversions):
    """Says that a ledger is of version 2, and how the rows of version 1 are converted."""
    path = project.folder / f"models/ledgers/{ledger}.yml"
    text = path.read_text(encoding="utf-8")
    meta = f"ledger_version: 2\n        conversions:\n          - to: 2\n            {conversions}\n"
    if "      meta:\n" in text[: text.index("    constraints:\n")]:
        project.edit(f"models/ledgers/{ledger}.yml", "\n      meta:\n        ", f"\n      meta:\n        {meta}        ")
    else:
        project.edit(
            f"models/ledgers/{ledger}.yml",
            "        enforced: true\n",
            f"        enforced: true\n      meta:\n        {meta}",
        )


def upgrade(project, *arguments):
    """`dbt run-operation upgrade_ledgers`, which `dbt build` runs first by itself."""
    return project.dbt("run-operation", "upgrade_ledgers", *arguments)


def upgraded(project):
    done = upgrade(project)
    assert done.success, done.output
    again = upgrade(project)
    assert "Every ledger has the shape of its contract." in again.output, again.output
    assert [name for (name,) in project.query("select table_name from duckdb_tables()") if "rebuild" in name] == []
    return done


def refused(project, sql):
    """Whether the database takes a statement, which is undone."""
    with project.connect() as connection:
        connection.execute("begin")
        try:
            connection.execute(sql)
        except duckdb.ConstraintException:
            return True
        return False


def then(**changed):
    """The rows of the last release, with what a conversion makes of some: {ledger: function of a row as a dict}."""
    found = {}
    for name, ledger in ledgers().items():
        rows = [dict(zip(ledger["columns"], row, strict=True)) for row in ledger["rows"]]
        found[name] = sorted((tuple(changed.get(name, dict)(row).values()) for row in rows), key=repr)
    return found


# The release that is out


def test_the_last_version_is_upgraded_by_a_build_alone(old):
    done = old.dbt("build", "--threads", "4", "--exclude-resource-type", "unit_test")
    assert done.success, done.output
    assert rows_of_then(old) == then()
    done = old.build("--select", "config.materialized:ledger")
    assert not re.search("ebuild|[1-9][0-9]* (inserted|updated)", done.output), done.output


# A parent with children, and a child, each by what of it changes


def test_a_changed_constraint(old):
    declare(old, "chunk", ('"byte_count >= 0"', '"byte_count >= 1"'))
    declare(old, "retrieval_hit", ('"rank >= 1"', '"rank between 1 and 5000"'))
    done = upgraded(old)
    assert "Rebuild ledger chunk, version 1: new check (byte_count >= 1); no more check (byte_count >= 0)" in done.output
    assert rows_of_then(old) == then()
    assert refused(old, "insert into chunk by name (select * replace ('x' as chunk_id, 0 as byte_count) from chunk)")
    assert refused(old, "insert into retrieval_hit by name (select * replace (9999 as rank) from retrieval_hit limit 1)")
    # The children refer to the new parent.
    assert refused(old, "insert into chunk_version by name (select * replace ('x' as chunk_id) from chunk_version)")
    assert refused(old, "delete from chunk")


def test_a_changed_key(old):
    declare(
        old, "embedding_space",
        ("name: pk_embedding_space\n        columns: [embedding_space_id]", "name: pk_space\n        columns: [space_key]"),
        ("name: uq_embedding_space_space_key\n        columns: [space_key]", "name: uq_s\n        columns: [embedding_space_id]"),
    )  # fmt: skip
    declare(
        old, "retrieval_hit",
        ("columns: [retrieval_id, rank]\n      - type: unique", "columns: [rank, retrieval_id]\n      - type: unique"),
        ("to_columns: [retrieval_id]\n", "to_columns: [retrieval_id]\n      - {type: unique, name: uq_hit, columns: [retrieval_id, content_sha256]}\n"),
    )  # fmt: skip
    declare(old, "run", ("name: fk_run_embedding_space\n        columns: [embedding_space_id]", "name: fk_run_embedding_space\n        columns: [model_tag]"))  # fmt: skip
    upgraded(old)
    assert rows_of_then(old) == then()
    assert refused(old, "insert into embedding_space by name (select * replace ('x' as embedding_space_id) from embedding_space)")
    assert refused(old, "insert into retrieval_hit by name (select * replace ('x' as chunk_id, 77 as rank) from retrieval_hit)")
    assert refused(old, "insert into run by name (select * replace ('x' as run_id, 'x' as model_tag) from run)")
    assert not refused(old, "insert into run by name (select * replace (concat('x', run_id) as run_id, null as model_tag, 'x' as embedding_space_id) from run)")


def test_a_changed_type(old):
    number = "data_type: integer"
    for ledger, column in (("embedding_space", "dimensions"), ("embedding", "dimensions"), ("embedding_canary", "dimensions"), ("chunk", "byte_count")):  # fmt: skip
        path = old.folder / f"models/ledgers/{ledger}.yml"
        text = path.read_text(encoding="utf-8")
        at = text.index(number, text.index(f"      - name: {column}\n"))
        old._write(path, text[:at] + "data_type: bigint" + text[at + len(number) :])
    declare(old, "run", ('description: "Why the run failed."\n        data_type: text', 'description: "Why."\n        data_type: text\n        constraints:\n          - type: not_null'))  # fmt: skip
    version_2(old, "run", "columns: {error: \"coalesce(error, 'none')\"}")
    upgraded(old)
    assert rows_of_then(old) == then(run=lambda row: {**row, "error": row["error"] or "none"})
    types = dict(old.query("select table_name, data_type from duckdb_columns() where column_name = 'dimensions' and schema_name = 'vector'"))
    assert {types[name] for name in ("embedding_space", "embedding", "embedding_canary")} == {"BIGINT"}
    assert refused(old, "update run set error = null")


def test_a_changed_word_a_renamed_column_and_one_that_is_dropped(old):
    declare(old, "job", ("'FAILED', 'DEADLETTER')", "'FAILED', 'DEAD')"))
    version_2(old, "job", "columns: {status: \"case status when 'DEADLETTER' then 'DEAD' else status end\"}")
    declare(old, "run", ("      - name: worker_id\n", "      - name: worker_name\n"))
    version_2(old, "run", "{columns: {worker_name: worker_id}, drop: [worker_id]}".replace("{columns", "columns").replace("]}", "]").replace("}, ", "}\n            "))
    done = upgraded(old)
    assert "Rebuild ledger job, version 1 to 2: " in done.output
    assert "converts status" in done.output
    frozen = ledgers()["run"]
    renamed = [{"worker_id": "worker_name"}.get(name, name) for name in frozen["columns"]]
    found = old.query(f"select {', '.join(f'cast({name} as varchar)' for name in renamed)} from run")
    assert sorted(found, key=repr) == then()["run"]
    assert dict(old.query("select status, count(*) from job group by all"))["DEAD"] == 1
    assert refused(old, "update job set status = 'DEADLETTER'")
    assert [name for (name,) in old.query("select column_name from duckdb_columns() where table_name = 'run'") if name == "worker_id"] == []
    # Once only: the version is kept with the table.
    assert old.query("select comment from duckdb_tables() where table_name = 'job'") == [("ledger version 2",)]


def test_what_is_not_declared_stays(old):
    """A column, an index and a comment of the warehouse's owner."""
    with old.connect() as connection:
        connection.execute("alter table job add column cost_centre varchar")
        connection.execute("create index mine on job (priority)")
        connection.execute("comment on table job is 'Ask Ann.'")
        connection.execute("update job set cost_centre = job_id")
    declare(old, "job", ("'FAILED', 'DEADLETTER')", "'FAILED', 'DEADLETTER', 'PAUSED')"))
    version_2(old, "job", "columns: {priority: priority}")
    upgraded(old)
    assert rows_of_then(old) == then()
    assert old.query("select count(*) from job where cost_centre = job_id") == [(5,)]
    assert old.query("select index_name from duckdb_indexes() where table_name = 'job'") == [("mine",)]
    assert old.query("select comment from duckdb_tables() where table_name = 'job'") == [("Ask Ann. ledger version 2",)]


def test_a_build_of_one_child_upgrades_its_parents(old):
    """With four threads; a view over both is as before."""
    with old.connect() as connection:
        connection.execute("create view mine as select run.run_id from run inner join job using (job_id)")
    declare(old, "job", ("'FAILED', 'DEADLETTER')", "'FAILED', 'DEADLETTER', 'PAUSED')"))
    done = old.dbt("run", "--threads", "4", "--select", "embedding")
    assert done.success, done.output
    assert "Rebuild ledger job" in done.output
    assert rows_of_then(old) == then()
    assert old.query("select count(*) from mine") == [(4,)]
    assert not refused(old, "insert into job by name (select * replace ('x' as job_id, 'PAUSED' as status, null as dedupe_key) from job limit 1)")


# What does not fit


def test_rows_that_do_not_fit_stop_the_build_and_are_named(old):
    declare(old, "chunk", ('"byte_count >= 0"', '"byte_count >= 100"'))
    declare(old, "job", ('description: "Who holds', 'constraints: [{type: not_null}]\n        description: "Who holds') if False else ("'FAILED', 'DEADLETTER')", "'FAILED')"))
    declare(old, "retrieval_hit", ("columns: [retrieval_id, rank]", "columns: [retrieval_id]"))
    declare(old, "run", ("name: fk_run_embedding_space\n        columns: [embedding_space_id]", "name: fk_run_embedding_space\n        columns: [worker_id]"))  # fmt: skip
    declare(old, "embedding_failure", ('description: "Quarantine', 'description: "Quarantine') if False else ("data_type: varchar(50)", "data_type: integer"))
    with old.connect() as connection:
        connection.execute("create table stranger (run_id varchar references run (run_id))")
    before = old.database_path.read_bytes()
    for done in (
        upgrade(old, "--args", "{dry_run: true}"),
        old.dbt("run", "--select", "retrieval_hit"),
    ):
        assert not done.success
        lines = {line.strip() for line in done.output.splitlines() if "nothing was changed" in line}
        assert {re.sub('"[^"]*"', '"?"', line) for line in lines} == set()
    assert rows_of_then(old) == then()
    assert before


def test_a_dry_run_changes_nothing(old):
    declare(old, "chunk", ('"byte_count >= 0"', '"byte_count >= 1"'))
    done = upgrade(old, "--args", "{dry_run: true}")
    assert done.success, done.output
    assert "Would rebuild ledger chunk, version 1: new check (byte_count >= 1)" in done.output
    assert "Would rebuild with what refers to it: chunk_version, embedding," in done.output
    assert old.query("select count(*) from duckdb_constraints() where table_name = 'chunk' and expression = '(byte_count >= 0)'") == [(1,)]


def test_a_ledger_of_a_later_release_is_left_alone(old):
    with old.connect() as connection:
        connection.execute("comment on table chunk is 'ledger version 7'")
    done = old.dbt("run", "--select", "chunk_version")
    assert not done.success
    assert "is of version 7, and this release knows version 1" in done.output
    assert rows_of_then(old) == then()


# Killed


KILLED = """
import duckdb, json, sys
connection = duckdb.connect(sys.argv[1])
for sql in json.load(open(sys.argv[2], encoding="utf-8")):
    connection.execute(sql).fetchall()
    print(flush=True)
    sys.stdin.readline()
"""


def test_killed_at_any_statement_it_is_as_if_never_begun(old, tmp_path, monkeypatch):
    import json

    from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper

    declare(old, "retrieval", ('"top_k >= 1"', '"top_k between 1 and 1000"'))
    shutil.copy(old.database_path, tmp_path / "before.duckdb")
    sent: list[str] = []
    execute = DuckDBCursorWrapper.execute
    monkeypatch.setattr(DuckDBCursorWrapper, "execute", lambda self, sql, *rest: (sent.append(sql), execute(self, sql, *rest))[1])  # fmt: skip
    assert upgrade(old).success
    monkeypatch.undo()
    sql = [each for each in sent if not each.lower().startswith("use ")]
    first, last = (next(i for i, each in enumerate(sql) if re.search(word, each, re.I)) for word in ("begin", "commit"))
    (tmp_path / "sent.json").write_text(json.dumps(sql[first : last + 1]), encoding="utf-8")
    assert last - first > 12

    victim = old.database_path
    for n in range(1, last - first + 2):
        Path(f"{victim}.wal").unlink(missing_ok=True)
        shutil.copy(tmp_path / "before.duckdb", victim)
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(victim), str(tmp_path / "sent.json")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        for step in range(n):
            assert process.stdout.readline() == "\n"
            if step < n - 1:
                process.stdin.write("\n")
                process.stdin.flush()
        process.kill()
        process.communicate()
        committed = n == last - first + 1
        assert rows_of_then(old) == then()
        assert ([committed] == [bool(old.query("select 1 from duckdb_constraints() where expression like '%1000%'"))]), n
        if n == last - first:  # all is done but the commit
            assert old.dbt("run", "--select", "retrieval_hit").success
            assert rows_of_then(old) == then()
            assert old.query("select 1 from duckdb_constraints() where expression like '%1000%'")
