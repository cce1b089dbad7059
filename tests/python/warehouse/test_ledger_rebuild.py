"""A ledger whose declared shape differs by more than new columns is made anew by `dbt build`, and loses no row."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml
from last_version import last_version, ledgers, rows_of_then
from support import PROJECT_DIR, ScratchProject, read_csv

pytestmark = [pytest.mark.dbt, pytest.mark.long]


@pytest.fixture(scope="module")
def kept_last_version(tmp_path_factory) -> ScratchProject:
    return last_version(tmp_path_factory.mktemp("last_version") / "project")


@pytest.fixture
def old(kept_last_version) -> ScratchProject:
    """The ledgers of the last release, and today's project over them."""
    kept_last_version.reset()
    return kept_last_version


class Declared:
    """The yml of a ledger, to be changed."""

    def __init__(self, model: dict):
        self.model = model

    def column(self, name: str) -> dict:
        return next(column for column in self.model["columns"] if column["name"] == name)

    def constraint(self, name: str) -> dict:
        return next(each for each in self.model["constraints"] if each["name"] == name)

    def version_2(self, **conversion) -> None:
        """Says how the rows of version 1 are converted."""
        self.model["config"].setdefault("meta", {}).update(ledger_version=2, conversions=[{"to": 2, **conversion}])


@contextlib.contextmanager
def declared(project: ScratchProject, ledger: str):
    path = project.folder / f"models/ledgers/{ledger}.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    yield Declared(content["models"][0])
    project._write(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def upgrade(project: ScratchProject, *arguments: str):
    """`dbt run-operation upgrade_ledgers`, which `dbt build` runs first by itself."""
    return project.dbt("run-operation", "upgrade_ledgers", *arguments)


def refused(project: ScratchProject, table: str, **values: str) -> bool:
    """Whether the database refuses a row like one that is there, but for these values (SQL); it is not kept."""
    changed = ", ".join(f"{value} as {name}" for name, value in values.items())
    with project.connect() as connection:
        connection.execute("begin")
        try:
            connection.execute(f"insert into {table} by name (select * replace ({changed}) from {table} limit 1)")
        except duckdb.ConstraintException:
            return True
        return False


def then(**converted) -> dict[str, list[tuple]]:
    """The rows of the last release, with what a conversion makes of some: {ledger: function of a row as a dict}."""
    found = {}
    for name, ledger in ledgers().items():
        rows = [dict(zip(ledger["columns"], row, strict=True)) for row in ledger["rows"]]
        found[name] = sorted((tuple(converted.get(name, dict)(row).values()) for row in rows), key=repr)
    return found


# The release that is out


def test_the_last_version_is_upgraded_by_a_build_alone(old):
    # By the policies of today's seed, too.
    old.write_rows("chunk_policy", read_csv(PROJECT_DIR / "seeds" / "chunk_policy.csv"))
    old.build("--threads", "4")
    # A new column of the current chunks is filled, and that is a change of theirs.
    assert old.query(
        "select count(*), count(chunk.context), count_if(starts_with(chunk.context, title))"
        " from chunk inner join source_registry using (source_id)"
        " where chunk.retired_utc is null and chunk.managed_by = 'dbt'"
    ) == [(filled := old.query("select count(*) from chunk_window")[0]) * 3]
    assert filled[0] > 0
    # So is one of their sources, which have been registered again.
    fingerprints = "select count(distinct document_sha256) from source_registry join document using (document_sha256)"
    assert old.query(fingerprints) == old.query("select count(*) from document where method <> 'extract'")
    written = {"chunk": {"updated_utc"}, "source_registry": {"updated_utc", "last_indexed_utc"}}
    found, expected = rows_of_then(old), then()
    for rows in (found, expected):
        for ledger, times in written.items():
            kept = [i for i, name in enumerate(ledgers()[ledger]["columns"]) if name not in times]
            rows[ledger] = sorted((tuple(row[i] for i in kept) for row in rows[ledger]), key=repr)
    assert found == expected
    done = old.dbt("run", "--select", "config.materialized:ledger")
    assert done.success, done.output
    assert not re.search("ebuild|Alter|[1-9][0-9]* (inserted|updated)", done.output), done.output

    # The former defaults stay until one asks for today's.
    used = "select distinct policy_version from source_registry where managed_by = 'dbt' and retired_utc is null"
    assert {version for (version,) in old.query(used)} <= {"window-800-v1", "page-700-v1", "page-non-latin-240-v1"}
    done = old.dbt("run", "--vars", "keep_chunk_policies: false")
    assert done.success, done.output
    assert {version for (version,) in old.query(used)} <= {"paragraphs-800-v1", "paragraphs-non-latin-240-v1"}
    done = old.dbt("run", "--select", "config.materialized:ledger chunk_policy_input")
    assert not re.search("[1-9][0-9]* (inserted|updated)", done.output), done.output
    made = old.query("insert into job (job_type, input_json) values ('EMBED_CHUNKS', '{}') returning status, priority")
    assert made == [("NEW", 100)]


# What of a shape may change, of a parent with children and of a child


def test_changed_constraints_and_keys_by_a_build_of_one_child(old):
    """With four threads, and what the owner of the warehouse has added: all of it stays."""
    with old.connect() as connection:
        connection.execute("create view mine as select run.run_id from run inner join job using (job_id)")
        connection.execute('alter table job add column "Cost centre" varchar')
        connection.execute('update job set "Cost centre" = job_id')
        connection.execute("create index mine_too on job (priority)")
        connection.execute("comment on table job is 'Ask Ann.'")
    with declared(old, "job") as job:  # a parent, and a child
        job.constraint("ck_job_status")["expression"] = "status <> 'PAUSED'"
    with declared(old, "embedding_space") as space:  # the parent of most
        space.constraint("pk_embedding_space")["columns"] = ["space_key"]
        space.constraint("uq_embedding_space_space_key")["columns"] = ["embedding_space_id"]
    with declared(old, "retrieval_hit") as hit:  # a child of two
        hit.constraint("ck_retrieval_hit_rank")["expression"] = "rank between 1 and 5000"
        hit.constraint("uq_retrieval_hit_retrieval_id_chunk_id")["columns"] = ["retrieval_id", "content_sha256"]
    with declared(old, "run") as run:
        run.constraint("fk_run_embedding_space")["columns"] = ["model_tag"]
    done = old.dbt("run", "--threads", "4", "--select", "embedding")
    assert done.success, done.output
    assert re.search(r"Rebuild ledger job, version 1: new check .*PAUSED.*; no more check", done.output), done.output
    assert "Every ledger has the shape of its contract." in upgrade(old).output

    assert rows_of_then(old) == then()
    assert old.query("select count(*) from mine") == [(4,)]
    assert old.query('select count(*) from job where "Cost centre" = job_id') == [(5,)]
    assert old.query("select index_name from duckdb_indexes()") == [("mine_too",)]
    assert old.query("select comment from duckdb_tables() where table_name = 'job'") == [("Ask Ann.",)]
    assert refused(old, "job", job_id="'x'", status="'PAUSED'")
    assert not refused(old, "job", job_id="'x'", status="'NEWER'")
    assert refused(old, "embedding_space", embedding_space_id="'x'")
    assert refused(old, "retrieval_hit", rank="9999", chunk_id="'x'")
    assert refused(old, "run", run_id="'x'", model_tag="'x'")
    assert not refused(old, "run", run_id="'x'", embedding_space_id="'x'")
    assert refused(old, "embedding_canary", canary_index="99", run_id="'x'")  # a child that kept its shape


def test_changed_types_words_and_names_by_conversions(old):
    for ledger in ("embedding_space", "embedding", "embedding_canary"):
        with declared(old, ledger) as each:
            each.column("dimensions")["data_type"] = "bigint"
    with declared(old, "job") as job:
        job.constraint("ck_job_status")["expression"] = "status in ('NEW', 'RUNNING', 'SUCCEEDED', 'FAILED', 'DEAD')"
        job.version_2(columns={"status": "case status when 'DEADLETTER' then 'DEAD' else status end"})
    with declared(old, "run") as run:
        run.column("worker_id")["name"] = "worker_name"
        run.column("error")["constraints"] = [{"type": "not_null"}]
        run.version_2(columns={"worker_name": "worker_id", "error": "coalesce(error, 'none')"}, drop=["worker_id"])
    with declared(old, "source_registry") as source:  # no shape, but what is stored
        source.version_2(columns={"title": "concat(title, '!')"})
    done = upgrade(old)
    assert done.success, done.output
    assert "Rebuild ledger job, version 1 to 2: " in done.output
    (told,) = re.findall("Rebuild ledger source_registry, version 1 to 2: (.*)", done.output)
    assert "converts title" in told

    def titled(row):
        return {**row, "title": f"{row['title'] or ''}!"}

    for _ in range(2):
        with old.connect() as connection:
            connection.execute("create view of_then as select * rename (worker_name as worker_id) from run")
            columns = ", ".join(f"cast({name} as varchar)" for name in ledgers()["run"]["columns"])
            runs = sorted(connection.execute(f"select {columns} from of_then").fetchall(), key=repr)
            connection.execute("drop view of_then")
        expected = then(
            job=lambda row: {**row, "status": row["status"].replace("DEADLETTER", "DEAD")},
            run=lambda row: {**row, "error": row["error"] or "none"},
            source_registry=titled,
        )
        assert runs == expected.pop("run")
        assert {name: rows for name, rows in rows_of_then(old, "run").items()} == expected
        # Once only: the version is kept with the table.
        assert "Every ledger has the shape of its contract." in upgrade(old).output
    types = old.query(
        "select data_type from duckdb_columns() where column_name = 'dimensions' and table_name like 'emb%g'"
    )
    assert types == [("BIGINT",)]
    assert refused(old, "job", job_id="'x'", status="'DEADLETTER'")
    assert refused(old, "run", run_id="'x'", error="null")
    assert old.query("select comment from duckdb_tables() where table_name = 'job'") == [("ledger version 2",)]


# What does not fit

REFUSALS = (
    ("chunk", '" is refused by ck_chunk_byte_count, byte_count >= 60, in the row of chunk_id "'),
    ("retrieval_hit", '" would not be the same as integer, in the row of retrieval_id "'),
    ("retrieval_hit", '" is of more than one row, which pk_retrieval_hit refuses'),
    ("job", ' in the row of job_id "'),
    ("run", '" has no row in embedding_space, as fk_run_embedding_space demands'),
    ("run", "the foreign key stranger_run_id_run_id_fkey of vector.stranger, which is no ledger of this project"),
)


def test_rows_that_do_not_fit_stop_the_build_and_are_named(old):
    with declared(old, "chunk") as chunk:
        chunk.constraint("ck_chunk_byte_count")["expression"] = "byte_count >= 60"
    with declared(old, "retrieval_hit") as hit:
        hit.constraint("pk_retrieval_hit")["columns"] = ["retrieval_id"]
        hit.column("score")["data_type"] = "integer"
    with declared(old, "job") as job:
        job.column("last_error")["constraints"] = [{"type": "not_null"}]
        job.column("status")["data_type"] = "varchar(5)"
        job.version_2(columns={"status": "concat(status, '')", "priority": "'high'"})
    with declared(old, "run") as run:
        run.constraint("fk_run_embedding_space")["columns"] = ["worker_id"]
    with old.connect() as connection:
        connection.execute("create table stranger (run_id varchar references run (run_id))")
    dry, done = upgrade(old, "--args", "{dry_run: true}"), old.dbt("run", "--select", "retrieval_hit")
    for run in (dry, done):
        assert not run.success
        lines = [line.strip() for line in run.output.splitlines() if "nothing was changed" in line]
        for ledger, said in REFUSALS:
            assert any(line.startswith(f"Ledger {ledger} ") and said in line for line in lines), (said, lines)
    assert "Would rebuild ledger chunk, version 1: new check (byte_count >= 60)" in dry.output
    assert rows_of_then(old) == then()
    assert old.query("select count(*) from duckdb_constraints() where expression = '(byte_count >= 0)'") == [(1,)]


def test_a_ledger_of_a_later_release_is_left_alone(old):
    with old.connect() as connection:
        connection.execute("comment on table chunk is 'ledger version 7'")
    done = upgrade(old)
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


@contextlib.contextmanager
def statements_of_dbt(monkeypatch):
    """What dbt sends to DuckDB, in its order."""
    from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper

    sent: list[str] = []
    execute = DuckDBCursorWrapper.execute

    def recorded(cursor, sql, *bindings):
        sent.append(sql)
        return execute(cursor, sql, *bindings)

    with monkeypatch.context() as patch:
        patch.setattr(DuckDBCursorWrapper, "execute", recorded)
        yield sent


def test_killed_at_any_statement_it_is_as_if_never_begun(old, tmp_path, monkeypatch):
    """The upgrade from the last release, which rebuilds `job`, `space_publication` and what refers to them."""
    with statements_of_dbt(monkeypatch) as sent:
        assert upgrade(old).success
    # What only reads leaves nothing else than the statement before it.
    written = [sql for sql in sent if re.match("(?!select|with|use)", _text(sql))]
    last = max(i for i, sql in enumerate(written) if re.match("create|insert|drop|comment|alter", _text(sql))) + 1
    first = max(i for i in range(last) if _text(written[i]).startswith("begin"))
    written = written[first : last + 1]
    assert _text(written[-1]).startswith("commit")
    assert len(written) > 12
    (tmp_path / "written.json").write_text(json.dumps(written), encoding="utf-8")
    new_shape = "select 1 from duckdb_constraints() where table_name = 'job' and expression like '%2147483647%'"

    for count in range(1, len(written) + 1):
        if "__rebuild" in written[count - 1] and _text(written[count - 1]).startswith("drop"):
            continue
        if all(_text(sql).startswith("alter") for sql in written[count - 1 : count + 1]):  # of the defaults the last
            continue
        Path(f"{old.database_path}.wal").unlink(missing_ok=True)
        shutil.copy(old._kept_database, old.database_path)
        _kill_after(count, old.database_path, tmp_path / "written.json")
        assert rows_of_then(old) == then(), written[count - 1]
        assert bool(old.query(new_shape)) == (count == len(written))
        if count == len(written) - 1:  # all is done but the commit
            assert old.dbt("run", "--select", "retrieval_hit").success
            assert old.query(new_shape) == [(1,)]
            assert rows_of_then(old) == then()


def _text(sql: str) -> str:
    """A statement without dbt's comment."""
    return re.sub(r"/\*.*?\*/", "", sql, flags=re.DOTALL).strip().lower()


def _kill_after(count: int, database: Path, statements: Path) -> None:
    """Sends so many of the statements, and is killed while the last one's transaction is open."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(database), str(statements)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    for step in range(count):
        assert process.stdout.readline() == "\n"
        if step < count - 1:
            process.stdin.write("\n")
            process.stdin.flush()
    process.kill()
    process.communicate()
