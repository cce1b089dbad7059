"""What dbt sends to SQL Server, and in which order, seen by a driver that records and talks to no server."""

import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import pytest
import yaml
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.project import PROJECT_DIR
from tsql.recording import Recording, record
from tsql.rules import view_violations, violations
from tsql.server import CannedServer

pytestmark = pytest.mark.long

LEDGERS = (
    "embedding_space", "job", "run", "source_registry", "chunk", "chunk_version", "embedding", "embedding_canary",
    "embedding_failure", "retrieval", "retrieval_hit", "space_publication", "evaluation_interval",
    "erasure", "embedding_sketch", "embedding_sketch_mean", "embedding_sketch_recall",
)  # fmt: skip
# A DuckDB type as SQL Server would name it in its catalogue: type, length, scale.
CATALOGUE_TYPES = {
    "VARCHAR": ("nvarchar", -1, 0), "INTEGER": ("int", 4, 0), "BIGINT": ("bigint", 8, 0), "BOOLEAN": ("bit", 1, 0),
    "TIMESTAMP": ("datetime2", 8, 6), "DATE": ("date", 3, 0), "DOUBLE": ("float", 8, 0),
    "FLOAT[]": ("varchar", -1, 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def first_build(parsed_folder, built_project) -> Recording:
    """`dbt build` of everything on an empty server. Unit tests ask it for columns: it has those of the native build."""
    import duckdb

    columns: dict[str, list] = {}
    with duckdb.connect(str(built_project.database_path), read_only=True) as connection:
        for table, name, type in connection.execute(
            "select table_name, column_name, data_type from information_schema.columns order by ordinal_position"
        ).fetchall():
            columns.setdefault(table, []).append((name, *CATALOGUE_TYPES[type]))
    recording = record(parsed_folder, CannedServer(columns=columns), "build", "--threads", "2")
    assert recording.done.returncode == 0, recording.output
    return recording


@pytest.fixture(scope="module")
def created(first_build) -> dict[str, list]:
    """The columns of every ledger, as the catalogue would give them after the first build."""
    return {ledger: _catalogue(_create_table(first_build, ledger)) for ledger in LEDGERS}


@pytest.fixture(scope="module")
def shapes(first_build) -> dict[str, list]:
    """What the catalogue would say of every ledger after the first build."""
    return {ledger: _shape(_create_table(first_build, ledger)) for ledger in LEDGERS}


@pytest.fixture(scope="module")
def second_build(parsed_folder, created, shapes) -> Recording:
    """`dbt run` of the ledgers where all are there and nothing has changed."""
    return _run_ledgers(parsed_folder, CannedServer({"vector": dict.fromkeys(LEDGERS, "table")}, created, shapes))


@pytest.fixture(scope="module")
def changed_build(parsed_folder, created, shapes) -> Recording:
    """`dbt run` of the ledgers where one lacks a column, one with children has a column of another type and another
    check, and two have rows to write: a chunk that is new and two that have changed, and a new space."""
    changed = dict(shapes)
    changed["embedding"] = [row for row in shapes["embedding"] if row[1] != "used_tokens"]
    changed["run"] = [row for row in shapes["run"] if row[:2] != ("default", "status")]
    changed["job"] = [
        ("default", "priority", "((7))", "df__job__priority") if row[:2] == ("default", "priority") else row
        for row in shapes["job"]
    ]
    changed["retrieval"] = [
        ("column", "top_k", "smallint", "no") if row[1] == "top_k"
        else ("check", row[1], "(top_k > 2)", None) if row[1] == "ck_retrieval_top_k"
        else row
        for row in shapes["retrieval"]
    ] + [
        ("reference", "fk_retrieval_hit_retrieval", "vector.retrieval_hit", None),
        ("column", "mine", "nvarchar(20)", "yes"),
    ]  # fmt: skip
    server = CannedServer(
        {"vector": dict.fromkeys(LEDGERS, "table")}, created, changed, {"chunk": (3, 2), "embedding_space": (1, 0)},
        rebuilt_shapes=shapes,
    )  # fmt: skip
    return _run_ledgers(parsed_folder, server)


@pytest.fixture(scope="module")
def rebuild(changed_build) -> list[str]:
    """What the rebuild of a ledger sends, from its lock on."""
    sent = next(sent for node, sent in changed_build.statements.items() if any("sp_rename" in sql for sql in sent))
    return [_flat(sql) for sql in sent]


# The first build


def test_every_view_is_t_sql(first_build):
    """Models, data tests and unit tests, which dbt renders only when it runs them, as they were sent."""
    views = dict(first_build.views())
    assert {"document", "chunk_window", "chunks_cover_their_source", "chunk_window_of_paragraphs"} <= views.keys()
    unit_tests = [node for node in views if node not in _model_names() and "expected" not in node]
    assert len(unit_tests) > 15
    problems = [
        (node, problem)
        for node, sql in first_build.views()
        for problem in (*view_violations(sql), *sqlglot_complaints(sql))
    ]
    assert problems == []


def test_every_statement_of_a_ledger_is_t_sql(first_build, changed_build):
    sent = {sql for ledger in LEDGERS for build in (first_build, changed_build) for sql in build.ours(ledger)}
    assert {sql: found for sql in sent if (found := violations(sql))} == {}
    with ProcessPoolExecutor(2) as pool:
        complaints = pool.map(sqlfluff_complaints, sent, chunksize=8)
        assert {sql: found for sql, found in zip(sent, complaints, strict=True) if found} == {}


def test_schemas_are_created_where_they_are_missing(first_build):
    created = [sql for sql in first_build.every_statement if "CREATE SCHEMA" in sql and "sp_getapplock" in sql]
    for schema in ("vector", "vector_demo"):
        assert any(f"IF NOT EXISTS (SELECT * FROM sys.schemas WHERE name = '{schema}')" in sql for sql in created)


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_ledger_locks_before_it_looks(first_build, second_build, ledger):
    """One transaction from the lock to the last row: the lock is the transaction's, and goes with it."""
    for recording in (first_build, second_build):
        sent = recording.statements[ledger]
        lock = next(i for i, sql in enumerate(sent) if "sp_getapplock" in sql)
        assert f"@Resource = N'vector_ledger.vector.{ledger}'" in sent[lock]
        assert "@LockOwner = 'Transaction'" in sent[lock]
        assert sent[lock].startswith("declare @got int")
        assert [sql for sql in sent if _writes(sql)] == [sql for sql in sent[lock + 1 :] if _writes(sql)]
        assert any(sql == "BEGIN TRANSACTION" for sql in recording.every_statement)
        assert sent[lock + 1 :].count("IF @@TRANCOUNT > 0 COMMIT TRANSACTION") == 1


def test_every_text_of_a_ledger_has_its_collation(first_build):
    """Whether its columns and constraints are those of its yml, a server tells: test_conformance.py."""
    lines = [line for ledger in LEDGERS for line in _create_table(first_build, ledger).splitlines()]
    texts = [line for line in lines if re.match(r"\s*\w+ n?varchar\(", line)]
    assert len(texts) > 100
    assert [line for line in texts if "collate Latin1_General_100_BIN2" not in line] == []


def test_a_foreign_key_names_the_schema_and_not_the_database(first_build):
    references = [
        name for ledger in LEDGERS for name in re.findall(r"references (\S+)", _create_table(first_build, ledger))
    ]
    assert len(references) >= 10
    assert all(re.fullmatch(r'"vector"\."\w+"', name) for name in references)


def test_a_foreign_key_has_the_types_of_what_it_references(first_build, created):
    for ledger in LEDGERS:
        for constraint in _declared(ledger)["constraints"]:
            if constraint["type"] != "foreign_key":
                continue
            target = re.search(r"\w+(?='\))", constraint["to"]).group()
            types = [_types(created[name], columns) for name, columns in (
                (ledger, constraint["columns"]), (target, constraint["to_columns"]))]  # fmt: skip
            assert types[0] == types[1], constraint["name"]
            keys = [c["columns"] for c in _declared(target)["constraints"] if c["type"] in ("primary_key", "unique")]
            assert constraint["to_columns"] in keys, constraint["name"]


def test_no_key_is_longer_than_an_index_may_be(first_build, created):
    """900 bytes for a clustered key, 1,700 for any other; a longer one is refused only when such a row comes."""
    for ledger in LEDGERS:
        for constraint in _declared(ledger)["constraints"]:
            if constraint["type"] in ("primary_key", "unique"):
                assert sum(_bytes(created[ledger], name) for name in constraint["columns"]) <= 900
    for sql in first_build.every_statement:
        if match := re.search(r'index \w+ on "vector"\."(\w+)" \(([^)]*)\)', sql):
            ledger, names = match.groups()
            columns = [name.removesuffix(" desc") for name in names.split(", ")]
            assert sum(_bytes(created[ledger], name) for name in columns if name != "row_version") <= 1700


def test_seeds_keep_every_character(first_build):
    for seed in ("embedding_space_seed", "chunk_policy", "page", "eval_query"):
        (sql,) = [sql for sql in first_build.statements[seed] if sql.startswith("create table")]
        types = re.findall(r'^ *"\w+" (.*?),?$', sql, re.MULTILINE)
        assert not [type for type in types if type.startswith("varchar")]
        inserts = [sql for sql in first_build.statements[seed] if sql.startswith("insert into")]
        assert inserts
        assert all(re.fullmatch(r"insert into \S+ \([^)]*\) values [(?, )null]*", sql) for sql in inserts)


# Every later build


def test_no_ledger_is_ever_dropped_truncated_or_merged(first_build, second_build, changed_build):
    names = "|".join(LEDGERS)
    destroys = re.compile(rf'\b(drop|truncate|delete|merge|sp_rename)\b[^;]*"({names})"', re.IGNORECASE)
    for recording in (first_build, second_build, changed_build):
        for ledger in LEDGERS:
            assert [sql for sql in recording.statements[ledger] if destroys.search(sql)] == []


def test_a_steady_ledger_is_only_read(second_build):
    for ledger in LEDGERS:
        sent = [sql for sql in second_build.ours(ledger) if "sp_getapplock" not in sql]
        assert [sql for sql in sent if _writes(sql) and "sys.indexes" not in sql] == []
        assert sent[-1] == "select 1 as unchanged"
        assert not any(word in sql for sql in sent for word in ("create table", "alter table", "#"))


def test_a_missing_column_is_added_once(changed_build):
    altered = [
        _flat(sql) for sql in changed_build.every_statement if "alter table" in sql and " constraint " not in sql
    ]
    assert altered == [
        """if col_length(N'"vector"."embedding"', N'used_tokens') is null """
        """alter table "vector"."embedding" add used_tokens int null"""
    ]


def test_a_rebuild_is_one_transaction_and_grants_anew(changed_build, rebuild):
    assert (
        "Rebuild ledger retrieval, version 1: top_k is smallint in the table, int in the contract"
        in changed_build.output
    )
    named = rebuild.index("exec sp_rename N'vector.retrieval__rebuild', N'retrieval', N'OBJECT'")
    assert 'grant insert on "vector"."retrieval" to [vector_embedder]' in rebuild[named:]
    assert next(sql for sql in rebuild if "TRANSACTION" in sql) == "BEGIN TRANSACTION"
    # From the first lock on, which begins it.
    lock = next(i for i, sql in enumerate(rebuild) if "sp_getapplock" in sql)
    assert rebuild.index("IF @@TRANCOUNT > 0 COMMIT TRANSACTION", lock) > named


def test_a_default_that_differs_is_set_without_a_rebuild(changed_build, rebuild):
    """One that is missing, and one that somebody has given a value of their own."""
    assert "Alter ledger run, version 1: sets the default of status" in changed_build.output
    assert "Alter ledger job, version 1: sets the default of priority" in changed_build.output
    altered = [sql for sql in rebuild if sql.startswith(('alter table "vector"."run"', 'alter table "vector"."job"'))]
    assert altered == [
        'alter table "vector"."job" drop constraint "df__job__priority"; '
        'alter table "vector"."job" add constraint df_job_priority default (100) for priority',
        """alter table "vector"."run" add constraint df_run_status default ('RUNNING') for status""",
    ]


def test_every_statement_of_a_rebuild_is_t_sql(changed_build):
    sent = next(sent for sent in changed_build.statements.values() if any("sp_rename" in sql for sql in sent))
    sent = {sql for sql in sent if '"vector"' in sql or "N'vector" in sql or "#vector" in sql}
    assert len(sent) > 40
    assert {sql: found for sql in sent if (found := violations(sql))} == {}
    with ProcessPoolExecutor(2) as pool:
        complaints = pool.map(sqlfluff_complaints, sent, chunksize=8)
        assert {sql: found for sql, found in zip(sent, complaints, strict=True) if found} == {}


# The queue


@pytest.mark.parametrize("operation", ["enqueue_pending", "enqueue_sources"])
def test_pending_work_is_queued_by_a_guarded_insert(parsed_folder, created, operation):
    """The stand-in of the live suite ignores the hint."""
    answers = CannedServer({"vector": dict.fromkeys(LEDGERS, "table")}, created, pending=["minilm"])
    given = ("--args", '{limit: 7, source_type: "it\'s"}') if operation == "enqueue_sources" else ()
    recording = record(parsed_folder, answers, "run-operation", operation, *given)
    assert recording.done.returncode == 0, recording.output
    sent = [_flat(sql) for sql in recording.every_statement if "_pending" in sql]
    assert len(sent) == 2
    for sql in sent:
        assert violations(sql) + sqlglot_complaints(sql) + sqlfluff_complaints(sql) == []
        assert "as open_job with (updlock, holdlock) where open_job.dedupe_key = " in sql


# Helpers


def _run_ledgers(parsed_folder, server: CannedServer) -> Recording:
    recording = record(parsed_folder, server, "run", "--threads", "2", "--select", "config.materialized:ledger")
    assert recording.done.returncode == 0, recording.output
    return recording


def _flat(sql: str) -> str:
    return " ".join(sql.split())


def _writes(sql: str) -> bool:
    return re.search(r"\b(create|alter|insert|update|delete|drop|truncate|merge)\b", sql) is not None


def _model_names() -> set[str]:
    return {path.stem for path in (PROJECT_DIR / "models").rglob("*.sql")}


def _declared(ledger: str) -> dict:
    (model,) = yaml.safe_load((PROJECT_DIR / f"models/ledgers/{ledger}.yml").read_text(encoding="utf-8"))["models"]
    return model


def _create_table(recording: Recording, ledger: str) -> str:
    (sql,) = [sql for sql in recording.statements[ledger] if "create table" in sql]
    return sql


def _catalogue(create_table: str) -> list[tuple]:
    """(name, type, length, scale) of the columns of a CREATE TABLE."""
    columns = []
    for line in create_table.splitlines():
        match = re.match(r"\s*(?!constraint)(\w+) (\w+)(?:\((\w+)\))?.* null,?$", line)
        if match and match.group(2) != "rowversion":
            name, type, size = match.groups()
            length = -1 if size == "max" else int(size or 0)
            columns.append((name, type, length, length if type == "datetime2" else 0))
    return columns


def _shape(create_table: str) -> list[tuple]:
    """What the catalogue says of the table: (kind, name, detail, whether it may be null)."""
    rows = []
    for line in map(str.strip, create_table.splitlines()):
        if match := re.match(
            r"constraint (\w+) (primary key|unique|foreign key|check)(?: \w*clustered)? ?(\(.*?)(?: \)?)?,?$", line
        ):
            name, kind, detail = match.groups()
            rows.append((kind, name, re.sub(r'"vector"\."(\w+)"', r"\1", detail), None))
        elif match := re.match(r"(\w+) (\w+(?:\(\w+\))?).*? (not )?null,?$", line):
            name, type, never = match.groups()
            if type != "rowversion" and name != "if":
                rows.append(("column", name, type, "no" if never else "yes"))
            if default := re.search(r" constraint (\w+) default (\(.*\)) (?:not )?null,?$", line):
                rows.append(("default", name, default.group(2), default.group(1)))
    return rows


def _types(columns: Sequence[tuple], names: Sequence[str]) -> list[tuple]:
    return [next(column[1:] for column in columns if column[0] == name) for name in names]


def _bytes(columns: Sequence[tuple], name: str) -> int:
    ((type, length, _),) = _types(columns, [name])
    return {"nvarchar": 2 * length, "varchar": length}.get(type, 8)
