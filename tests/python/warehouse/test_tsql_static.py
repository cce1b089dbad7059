"""The SQL Server target without a server: what dbt would send is rendered, parsed twice, and held against the rules."""

import ast
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.project import PROJECT_DIR, Node, compile_nodes
from tsql.rules import view_violations, violations

SENTINEL = "(len((cast(content as nvarchar(max)) + N'.') collate Latin1_General_100_CI_AS_SC) - 1)"


# The project


@pytest.mark.long
def test_every_model_and_data_test_is_rendered(nodes):
    assert {"document", "chunk_window", "chunk", "embedding_pending", "space_coverage"} <= nodes.keys()
    assert {"chunks_cover_their_source", "vector_is_finite_embedding_vector"} <= nodes.keys()
    assert {path.stem for path in PROJECT_DIR.glob("tests/alarms/*.sql")} <= nodes.keys()
    assert {path.stem for path in PROJECT_DIR.glob("tests/on_request/*.sql")} <= nodes.keys()
    assert [node.name for node in nodes.values() if not node.sql.strip()] == []


def test_sqlglot_reads_every_statement(nodes):
    assert _complaints(nodes, sqlglot_complaints) == {}


@pytest.mark.long
def test_sqlfluff_reads_every_statement(nodes):
    with ProcessPoolExecutor(2) as pool:
        complaints = pool.map(sqlfluff_complaints, [node.statement for node in nodes.values()], chunksize=4)
        assert {name: found for name, found in zip(nodes, complaints, strict=True) if found} == {}


def test_no_statement_breaks_a_rule(nodes):
    assert _complaints(nodes, view_violations) == {}


@pytest.mark.long
def test_a_duckdb_ism_in_a_model_fails_the_gate(parsed_folder, tmp_path):
    scratch = tmp_path / "project"
    folders = "alarms generic invariants on_request fixtures".split()
    for name in ("macros", "models", "seeds", *(f"tests/{each}" for each in folders)):
        shutil.copytree(PROJECT_DIR / name, scratch / name)
    shutil.copy(PROJECT_DIR / "dbt_project.yml", scratch)
    _plant(scratch / "models/documents/document.sql", "'newline-1' as", "'newline-1'::varchar as")
    _plant(scratch / "models/state/embedding_current.sql", "from final", "from final order by chunk_id limit 5")
    planted = ("document", "embedding_current")

    compile_nodes(parsed_folder, scratch, *planted, "chunk")

    files = (parsed_folder / "target" / "compiled").rglob("*.sql")
    found = {path.stem: view_violations(path.read_text(encoding="utf-8")) for path in files}
    assert {name for name, violations in found.items() if violations} == set(planted)
    assert "chunk" in found


# The rules, each with what it is there for


@pytest.mark.parametrize(
    ("rule", "sql"),
    [
        ("MERGE", "merge into chunk using change on chunk.chunk_id = change.chunk_id when matched then delete"),
        ("TRUNCATE", "truncate table chunk"),
        ("LIMIT", "select a from t limit 5"),
        ("cast by ::", "select a::int from t"),
        ("concatenation by ||", "select a || b from t"),
        ("division by //", "select a // b from t"),
        ("->>", "select a ->> '$.b' from t"),
        ("ILIKE", "select a from t where a ilike 'x%'"),
        ("a boolean literal", "select a from t where b = true"),
        ("a boolean literal", "select false as b"),
        ("CREATE OR REPLACE", "create or replace view v as select 1 as a"),
        ("CREATE OR ALTER", "create or alter view v as select 1 as a"),
        ("IF NOT EXISTS inside CREATE", "create table if not exists t (a int)"),
        ("ADD COLUMN", "alter table t add column a int"),
        ("LATERAL", "select a from t cross join lateral (select 1 as b) as s"),
        ("UNNEST", "select a from unnest([1, 2]) as s (a)"),
        ("QUALIFY", "select a from t qualify row_number() over (order by a) = 1"),
        ("BY ALL", "select a, count(*) as n from t group by all"),
        ("a lambda", "select apply(a, lambda x: x + 1) as b from t"),
        ("the type boolean", "select cast(a as boolean) as b from t"),
        ("the function list_sum", "select list_sum(a) as b from t"),
        ("the function struct_pack", "select struct_pack(a) as b from t"),
        ("the function strftime", "select strftime(a, '%Y') as b from t"),
        ("the function generate_series", "select value from generate_series(1, 10)"),
        ("the function range", "select a from range(10) as s (a)"),
        ("the function length", "select length(a) as b from t"),
        ("the function greatest", "select greatest(a, b) as c from t"),
        ("IS DISTINCT FROM", "select a from t where a is distinct from b"),
        ("IS DISTINCT FROM", "select a from t where a is not distinct from b"),
        ("STRING_SPLIT with an ordinal", "select value from string_split(a, ',', 1)"),
        ("LEN without the sentinel", "select len(a) as b from t"),
        ("LEN without the sentinel", "select len((a + N'.') collate Latin1_General_100_BIN2) - 1 as b from t"),
        ("HASHBYTES of a text that is not UTF-8", "select hashbytes('SHA2_256', a) as b from t"),
        ("a collation inside a cast", "select cast(null as varchar(36) collate Latin1_General_100_BIN2) as a"),
        ("OPENJSON's key without a collation", "select concat([key], [value]) as a from openjson(b)"),
        ("ORDER BY without TOP", "select a from t order by a"),
        ("ORDER BY without TOP", "select a from (select a from t order by a) as s"),
        ("the type nvarchar(4001)", "select cast(a as nvarchar(4001)) as b from t"),
        ("the type varchar(8001)", "create table t (a varchar(8001))"),
        ("the type decimal(39)", "select cast(a as decimal(39, 2)) as b from t"),
        ("a CTE inside a subquery", "select a from (with s as (select 1 as a) select a from s) as s"),
        ("the SET option nocount", "set nocount on; update t set a = 1"),
        ("the SET option xact_abort", "set xact_abort on"),
        ("upper-case name", "select A from t"),
        ("upper-case name", 'select "Title" from t'),
        ("beyond ASCII that is not N''", "select 'é' as a"),
        ("beyond ASCII in a view", "select N'é' as a"),
        ("the reserved word plan", "select plan from t"),
        ("the reserved word key", "select a as key from t"),
        ("the reserved word window", "with window as (select 1 as a) select a from window"),
        ("the reserved word user", "select t.user from t"),
        ("the reserved word order", "select 1 as order"),
        ("the reserved word index", "select index.a from t as index"),
    ],
)
def test_a_violation_is_found(rule, sql):
    assert any(rule in problem for problem in view_violations(sql)), view_violations(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 as a -- merge || :: true\n",
        "select 'limit :: true // || é is only text' as a".replace("é", "e"),
        "/* create or replace */ select [value] from openjson(b) as plan_row",
        f"select {SENTINEL} as char_count from t",
        "select cast(a as nvarchar(4000)) as b, cast(a as nvarchar(max)) as c, cast(a as decimal(38, 2)) as d from t",
        "select top (5) a from t order by a",
        "select a from t order by a offset 0 rows fetch next 5 rows only",
        "select row_number() over (partition by a order by b) as n from t",
        "select string_agg(a, N', ') within group (order by a) as texts from t",
        "select a from (select top (1) a from t order by a) as s",
        "with s as (select 1 as a) select a from s union all select 2 as a",
        "create table t (a varchar(36) collate Latin1_General_100_BIN2 not null, constraint pk_t primary key (a))",
        "create view v as with s as (select 1 as a) select a from s",
        "update t set language = 'en' where a = 1",
    ],
)
def test_good_t_sql_passes(sql):
    assert view_violations(sql) == []
    assert sqlglot_complaints(sql) == []


def test_text_beyond_ascii_may_be_sent_where_there_is_no_view():
    assert violations("select N'é' as a") == []


@pytest.mark.parametrize("complaints", [sqlglot_complaints, sqlfluff_complaints])
def test_what_is_no_t_sql_is_not_read(complaints):
    assert complaints("select a from (select 1 as a")
    assert complaints("this is prose, and no statement at all")


# One source for both engines


def test_no_model_asks_for_the_engine():
    asks = re.compile(r"target\.(type|name)|target\[|adapter\.(type|dispatch)|{[{%][^}]*(duckdb|sqlserver)[^}]*[}%]}")
    folders = ("models", "seeds", "tests/generic", "tests/invariants", "tests/alarms", "tests/on_request")
    files = [path for folder in folders for path in (PROJECT_DIR / folder).rglob("*.*")]
    sources = [path for path in files if path.suffix in (".sql", ".yml")]
    assert len(sources) > 50
    assert [str(path) for path in sources if asks.search(path.read_text(encoding="utf-8"))] == []


def test_only_the_python_model_is_switched_by_the_engine(nodes):
    """Where dbt reads what is enabled it knows no macros: docs/decisions/0011."""
    text = (PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8")
    assert re.findall(r"(\w+):\n\s+\+enabled: .*target\.", text) == ["space_map"]
    assert len(re.findall(r"target\.type", text)) == 2, "that, and the type of long texts in seeds"
    models = {path.stem for path in (PROJECT_DIR / "models").rglob("*.*") if path.suffix in (".sql", ".py")}
    assert models - nodes.keys() == {"space_map"}


def test_engines_differ_only_in_cross_db():
    """A macro of one engine has a file of its own name, beside the words that all the others take."""
    macro = re.compile(r"{%-?\s*macro (?:sqlserver|duckdb)__(\w+)")
    for path in (PROJECT_DIR / "macros").rglob("*.sql"):
        for name in macro.findall(path.read_text(encoding="utf-8")):
            assert path.parent.name == "cross_db"
            assert path.stem in (name, f"sqlserver__{name}")


def test_no_python_above_the_engines_asks_for_the_engine():
    package = PROJECT_DIR / "scripts" / "vector"
    files = [path for path in package.rglob("*.py") if "engines" not in path.parts]
    assert len(files) > 10
    assert {str(path): found for path in files if (found := list(_asks(path.read_text(encoding="utf-8"))))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "if engine.name == 'duckdb': pass",
        "if target.type in ('sqlserver', 'fabric'): pass",
        "match engine.name:\n    case 'duckdb': pass",
        "import pyodbc",
        "from vector.engines.duckdb import DuckDBEngine",
        "isinstance(engine, SqlServerEngine)",
    ],
)
def test_asking_for_the_engine_is_found(source):
    assert list(_asks(source))


def _asks(source: str):
    """The lines that look at which engine it is, or use one by its name."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        drivers = ("duckdb", "pyodbc", "mssql_python")
        engines = ("vector.engines.duckdb", "vector.engines.sqlserver")
        compared = list(ast.walk(node)) if isinstance(node, ast.Compare | ast.MatchValue) else []
        if (
            any(name in drivers or name.startswith(engines) for name in names)
            or any(isinstance(part, ast.Constant) and part.value in ("duckdb", "sqlserver") for part in compared)
            or (isinstance(node, ast.Name) and node.id in ("DuckDBEngine", "SqlServerEngine"))
        ):
            yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def _plant(path: Path, old: str, new: str) -> None:
    sql = path.read_text(encoding="utf-8")
    assert sql.count(old) == 1
    path.write_text(sql.replace(old, new), encoding="utf-8")


def _complaints(nodes: dict[str, Node], check) -> dict[str, list[str]]:
    return {node.name: found for node in nodes.values() if (found := check(node.statement))}
