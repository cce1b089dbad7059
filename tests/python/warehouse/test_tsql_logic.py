"""The T-SQL of views, change sets and tests gives, row by row, what the native SQL gives.

It is translated to DuckDB by tsql/to_duckdb.py, which keeps T-SQL's meaning of lengths, blanks and JSON, and run over
the same rows as the native SQL: the demo's, hostile ones, and ledgers that something has happened to.
"""

import json
import re
import shutil
from collections import Counter
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import HOSTILE, texts_with_headings, titles
from support import LEDGERS, PROJECT_DIR, drop_constraints
from tsql.project import ALARMS
from tsql.to_duckdb import teach, to_duckdb

from vector.contracts.identity import canonical_json

pytestmark = pytest.mark.long

VIEWS = (
    "chunk_policy_input", "embedding_space_input", "eval_query_input", "eval_judgment_input", "publish_threshold_input",
    "stg_page", "stg_entity", "stg_event", "document_input", "document", "document_registration", "chunk_window",
    "embedding_space_identity", "source_pending", "embedding_state", "embedding_pending", "embedding_current",
    "space_coverage",
    "chunk_catalog", "retrieval_audit", "eval_retrieval", "eval_ranking", "retrieval_quality_query", "eval_score",
    "evaluation", "retrieval_quality", "space_comparison", "embedding_failure_open", "run_history", "dead_letter",
    "job_queue_health", "source_reach", "space_status", "search_setting",
)  # fmt: skip
CHANGES = ("source_registry", "chunk", "chunk_version", "embedding_space")
# Chunks without a fingerprint: T-SQL cuts all texts, DuckDB those.
HAPPENED = """
    update vector.chunk set content = content || ' ', content_sha256 = sha256(content || ' ')
        where chunk_id in (select chunk_id from vector.chunk order by chunk_id limit 9);
    insert into vector.chunk_version select chunk_id, sha256('earlier'), 'earlier', now() from vector.chunk limit 3;
    update vector.chunk set retired_utc = now() where chunk_id in (select chunk_id from vector.chunk order by chunk_id desc limit 7);
    update vector.chunk set policy_json = '{"version":"other "}' where chunk_id in (select chunk_id from vector.chunk order by content limit 4);
    update vector.chunk set managed_by = 'python' where chunk_id in (select chunk_id from vector.chunk order by content desc limit 4);
    delete from vector.chunk where chunk_id in (select chunk_id from vector.chunk order by content_sha256 limit 5);
    update vector.chunk set document_sha256 = null;
    update vector.chunk_policy set method = 'extract' where source_type = 'page_non_latin';
    update vector.source_registry set extracted_sha256 = case when hash(source_id) % 2 = 0 then content_sha256 else sha256('old') end
        where source_type = 'page_non_latin' and hash(source_id) % 3 < 2;
    insert into vector.chunk select * replace ('vanished' as chunk_id) from vector.chunk where managed_by = 'dbt' limit 1;
    insert into vector.chunk select * replace ('of python' as chunk_id, 'python' as managed_by) from vector.chunk limit 1;
    insert into vector.job select * replace ('dead' as job_id, 'DEADLETTER' as status, null as by_hand_flag) from vector.job limit 1;
    insert into vector.job select * replace ('due' as job_id, 'FAILED' as status, null as by_hand_flag) from vector.job limit 1;
    insert into vector.run select * replace ('of the due' as run_id, 'due' as job_id, 'FAILED' as status,
        completed_utc + interval 1234 milliseconds as completed_utc) from vector.run limit 1;
    delete from vector.embedding where embedding_id in (select embedding_id from vector.embedding order by chunk_id limit 11);
    insert into vector.embedding_failure
        select uuid(), chunk_id, embedding_space_id, input_content_sha256, 'too_long', 'x', 1, null, now(), now(), null, null
        from vector.embedding_pending limit 4;
    insert into vector.embedding_failure
        select uuid(), chunk_id, embedding_space_id, input_content_sha256, 'timeout', 'x', 1, null, now(), now(),
            now()::timestamp + to_days(case when hash(chunk_id) % 2 = 0 then -1 else 1 end), null
        from vector.embedding_pending limit 4;
    update vector.embedding_space set price_per_million_tokens = 0.02 where space_key = 'hash';
    update vector.embedding set truncated_flag = (hash(chunk_id) % 3 = 0);
    insert into vector.embedding_space select * replace
        ('00000000-0000-0000-0000-000000000000' as embedding_space_id, 'other' as space_key, 2 as dimensions)
        from vector.embedding_space limit 1;
    insert into vector.embedding_space select * replace (uuid() as embedding_space_id, 'idle' as space_key, false as is_active)
        from vector.embedding_space limit 1;
    update vector.embedding_space set description = null where space_key = 'hash';
    insert into vector.space_publication
        select concat('p', number), number, (select embedding_space_id from vector.embedding_space where space_key = key),
            null, action, timestamp '2026-01-01' + to_days(number), 'w', null, null
        from (values (1, 'hash', 'publish'), (2, 'other', 'publish'), (3, 'hash', 'rollback'), (4, 'idle', 'retire'),
            (6, 'other', 'publish')) as published (number, key, action);
    update vector.source_registry set title = null where source_id in (select source_id from vector.source_registry limit 3);
    update vector.source_registry set chunk_capped_flag = true where source_id like '%mars%';
    update vector.source_registry set retired_utc = now() where source_id like '%moon%';
    insert into vector.source_registry select * replace ('gone' as source_id) from vector.source_registry limit 1;
    insert into vector.source_registry select * replace ('kept' as source_id, 'python' as managed_by) from vector.source_registry limit 1;
    insert into vector.embedding_space_seed select * replace ('hostile' as space_key, ' ' as document_prefix,
        'say "é" \\ ' || chr(10) || chr(9) as query_prefix, '' as template, '日本😀' as model_name, '' as model_tag,
        512 as max_tokens, 'end' as truncation, false as normalize_flag) from vector.embedding_space_seed limit 1;
    insert into vector.embedding select * replace (uuid() as embedding_id, 'short' as chunk_id, vector[1:3] as vector)
        from vector.embedding limit 1;
    insert into vector.embedding select * replace (uuid() as embedding_id, 'long' as chunk_id,
        list_transform(vector, lambda x: x * 2) as vector) from vector.embedding limit 1;
    insert into vector.embedding select * replace (uuid() as embedding_id, 'holed' as chunk_id, upper(vector_sha256) as vector_sha256,
        list_concat(vector[1:7], [null]) as vector) from vector.embedding limit 1;
    insert into vector.embedding select * replace (uuid() as embedding_id, 'none' as chunk_id, [] as vector)
        from vector.embedding limit 1;
    delete from vector.eval_query where query_id > 'q36' or length(query_id) > 3;
    delete from vector.eval_judgment where query_id in ('q07', 'q11') or query_id > 'q36' or length(query_id) > 3;
    update vector.eval_judgment set relevance = 0 where source_id like 'entity:%';
    update vector.eval_query set query_text = concat(query_text, ' ') where query_id = 'q13';
    insert into vector.retrieval (retrieval_id, embedding_space_id, query_text, query_sha256, top_k, policy_json,
        exact_flag, created_utc, eval_query_id)
        select concat(space_key, '-', query_id, '-', day), embedding_space_id, query_text, sha256(rtrim(query_text)), 25,
            case
                when query_id < 'q05' then null
                when query_id < 'q10' then '{"method":"dense"}'
                else concat('{"distance_metric":"of ', space_key, '","method":"dense","min_score":0.1}')
            end, true, timestamp '2026-01-01' + to_hours(cast(day as integer) * 20), query_id
        from vector.embedding_space, vector.eval_query, range(3) as days (day)
        where space_key <> 'idle' or query_id < 'q20';
    insert into vector.retrieval_hit
        select retrieval_id, row_number() over (partition by retrieval_id order by nearness), chunk_id, content_sha256,
            nearness, null
        from (
            select retrieval_id, chunk_id, content_sha256,
                hash(retrieval_id, chunk_id) / 1.8446744073709552e19
                / (select 1 + 40 * count(*) from vector.eval_judgment as judged
                   where judged.query_id = asked.eval_query_id and judged.source_id = found.source_id) as nearness
            from vector.retrieval as asked, vector.chunk as found where eval_query_id is not null
        ) qualify row_number() over (partition by retrieval_id order by nearness) <= hash(retrieval_id) % 26;
    insert into vector.evaluation_interval
        select sha256(evaluation_id || metric), evaluation_id, null, metric, count(*), avg(score), 0, 1, null, 9, 1, now()
        from vector.eval_score group by evaluation_id, metric;
    insert into vector.evaluation_interval
        select sha256(a.evaluation_id || b.evaluation_id || a.metric), b.evaluation_id, a.evaluation_id, a.metric,
            count(*), avg(b.score - a.score), 0.01, 1, 0.04, 9, 1, now()
        from vector.eval_score as a inner join vector.eval_score as b using (query_id, metric)
        where a.evaluation_id < b.evaluation_id group by a.evaluation_id, b.evaluation_id, a.metric
"""  # noqa: E501
PAYLOADS = [
    json.dumps({"title": "T", "body": {"text": "".join(piece * times for piece, times in entry["pieces"])}})
    for entry in HOSTILE["texts"]
    if sum(times * len(piece) for piece, times in entry["pieces"]) < 20_000
] + [
    "not JSON", "", "[]", '[{"title": "in an array", "body": {"text": "x"}}]',
    '{"title": null, "body": {"text": null}}', '{"body": {"text": "no title"}}', '{"title": "no text", "body": {}}',
    '{"title": 7, "body": {"text": true}}',
    r'{"title": "a \"quoted\" \\ one", "lang": "x\ty", "tags": ["a"], "body": {"text": "line\r\nline\rline"}}',
    r'{"tags" : [ "mission", "moon\u0020", "caf\u00e9", "\ud83d\ude80", "a\/b", "q\"", 7, -0, true, false ]}',
    '{"tags": ["x", null, 1.50, 1e2, {"a": [1, 2]}, ["y"], 12345678901234567890]}', '{"tags": "alone"}', '{"tags": {}}',
    '{"title": 1.50, "lang": -1E+02, "body": {"text": -0}, "tags": [-0, -0.0, "1.50", "-1e2"]}',
    '{"title": {"of": "1.5"}, "lang": ["en"], "body": {"text": "a 1.50 in a \\"text\\" \\\\"},'
    ' "tags": ["\\u001f\\u000B\\b"]}',
]  # fmt: skip


ATTRIBUTES = [
    '{"mass_kg": 1.50, "far": -1e2, "zero": -0, "big": 123456789012345678901, "text": "1.50 \\u001f", "no": null}',
    '{"nested": {"a": [1, 2]}, "list": ["x"], "b": true, "a": ""}', '{"only": {}}', "[1.50, true]", "7", '"text"',
    "{}", "null", "", '{"caf\\u00e9_1.5": "q\\"", "\\ud83d\\ude80": 1E5}',
]  # fmt: skip


@pytest.fixture(scope="module")
def native(kept_project, tmp_path_factory):
    """The native SQL of every node, of the target duckdb, by name."""
    kept_project.reset()
    folder = kept_project.folder / "target" / "compiled"
    shutil.rmtree(folder, ignore_errors=True)  # a unit test of an earlier run has the name of its model
    assert kept_project.dbt("compile", "--vars", ALARMS).success
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.rglob("*.sql")}


@pytest.fixture(scope="module")
def translated(nodes):
    """Gives the T-SQL of a node in DuckDB's words."""
    return lambda name: to_duckdb(nodes[name].sql, "mirror")


@pytest.fixture(scope="module")
def warehouse(kept_project, native, tmp_path_factory):
    """A built and embedded warehouse to which things have happened, and `mirror`, which shows T-SQL the same rows: its
    vectors are JSON there."""
    path = tmp_path_factory.mktemp("logic") / "warehouse.duckdb"
    shutil.copy(kept_project.database_path, path)
    with duckdb.connect() as connection:
        teach(connection)
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach '{path}' as warehouse")
        connection.execute("use warehouse.vector")
        drop_constraints(connection)
        connection.executemany(
            "insert into warehouse.vector_demo.page values (?, ?, now())",
            [(f"hostile {i}", payload) for i, payload in enumerate(PAYLOADS)],
        )
        connection.executemany(
            "insert into warehouse.vector_demo.entity values (?, 'N', 'planet', ?, '2026-01-01')",
            [(f"hostile {i}", attributes) for i, attributes in enumerate(ATTRIBUTES)],
        )
        for statement in HAPPENED.split(";\n"):
            connection.execute(statement)
        _mirror(connection)
        connection.execute("use memory.main")
        # One transaction has one now().
        connection.execute("begin")
        yield connection


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_gives_the_native_rows(warehouse, native, translated, view):
    rows = _same_rows(warehouse, native[view], translated(view), without=("vector",))
    assert rows > 0


def test_no_mart_counts_in_decimals(nodes):
    """1.0 is an exact number to SQL Server, and what is made of it a numeric of many digits; 1.0e0 is a float."""
    marts = [path.stem for path in (PROJECT_DIR / "models" / "marts").glob("*.sql")]
    exact = re.compile(r"(?<![\w.])\d+\.\d+(?![\de])\s*[*/]|[*/]\s*\d+\.\d+(?![\de])|\bas (?:decimal|numeric)\b")
    found = {name: exact.findall(nodes[name].sql) for name in marts}
    assert {name: each for name, each in found.items() if each} == {}


def test_tags_are_canonical_on_both(warehouse, native, translated):
    for sql in (native["stg_page"], translated("stg_page")):
        tags = [text for (text,) in warehouse.execute(f"select tags_json from ({sql})").fetchall()]
        assert {text for text in tags if text != canonical_json(json.loads(text))} == set()
        spelled = '{"lang":null,"tags":["mission","moon ","café","🚀","a/b","q\\"",7,0,true,false]}'
        assert {spelled, '{"lang":null,"tags":["x"]}', '{"lang":null,"tags":[]}'} <= set(tags)


@pytest.mark.parametrize("ledger", CHANGES)
def test_a_ledgers_changes_are_the_native_ones(warehouse, native, translated, ledger):
    rows = _same_rows(warehouse, native[ledger], translated(ledger))
    assert rows > 0


def test_a_price_changed_in_its_seventh_digit_is_a_change(warehouse, translated):
    """As a text SQL Server gives six digits of a float, so numbers are compared as numbers."""
    ledger, seed = (f"warehouse.vector.{name}" for name in ("embedding_space", "embedding_space_seed"))
    columns = "description, price_per_million_tokens"
    kept = {
        table: warehouse.execute(f"select {columns} from {table} where space_key = 'hash'").fetchone()
        for table in (ledger, seed)
    }

    def changed(price):
        for table, value in ((ledger, 1.234567), (seed, price)):
            _write(table, (kept[seed][0], value))
        return "hash" in {key for (key,) in warehouse.execute(f"select space_key from ({sql})").fetchall()}

    def _write(table, values):
        warehouse.execute(
            f"update {table} set description = ?, price_per_million_tokens = ? where space_key = 'hash'", values
        )

    sql = translated("embedding_space")
    try:
        assert not changed(1.234567)
        assert changed(1.2345671)
    finally:
        for table, values in kept.items():
            _write(table, values)


def test_every_data_test_finds_the_native_rows(warehouse, native, nodes, translated):
    found = Counter()
    for name, node in nodes.items():
        if node.resource_type == "test":
            found[name] = _same_rows(warehouse, native[node.file], translated(name))
    assert len(found) > 60
    # They had something to find.
    for name in ("vector_has_dimensions_embedding_vector", "vector_is_finite_embedding_vector", "pending_is_low"):
        assert found[name] > 0
    assert sum(count > 0 for count in found.values()) >= 8


# Any text, cut by any policy

# Blanks of all kinds, letters of one, two, three and four bytes, of one and of two units, joined and combined ones.
CHARACTERS = st.one_of(
    st.sampled_from(
        ' \n\t\r\u3000\u00a0\u00ad\u200f\ufeff.!\u2026\u3002\u300d"),aZ\u00e9\u0301\u65e5\U0001f600\u200d\U00010348'
    ),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)
POLICIES = st.tuples(st.integers(1, 12), st.sampled_from([None, "paragraphs"])).flatmap(
    lambda given: st.tuples(
        st.just(given[0]),
        st.integers(0, given[0] - 1 - (given[0] // 4 if given[1] else 0)),
        st.integers(1, 9),
        st.just(given[1]),
    )
)


@pytest.fixture(scope="module")
def cutter(native):
    """`document` and what reads it, of both kinds over tables of their own."""
    with duckdb.connect() as connection:
        teach(connection)
        connection.execute("attach ':memory:' as warehouse")
        connection.execute("create schema warehouse.vector")
        columns = "source_id text, source_type text, source_ref_json text, title text, content text, tags_json text"
        columns += ", updated_utc timestamp, unfit_updated_utc text, document_model text"
        connection.execute(f"create table warehouse.vector.document_input ({columns})")
        connection.execute(
            "create table warehouse.vector.chunk_policy_input (policy_version text, source_type text, chunk_size int,"
            " overlap int, max_chunks_per_source int, is_active boolean, method text)"
        )
        connection.execute(
            "create table warehouse.vector.erasure (kind text, salt text, subject_sha256 text, lifted_utc timestamp)"
        )
        connection.execute(f"create view warehouse.vector.document as {native['document']}")
        yield connection


def test_any_text_is_cut_alike(cutter, native, nodes):
    views = ("document", "chunk_window", "document_registration")
    translated = {view: to_duckdb(nodes[view].sql, "warehouse") for view in views}

    # Inside, since hypothesis would keep the connection for good.
    @settings(max_examples=20, deadline=None)
    @given(
        texts=st.lists(st.text(CHARACTERS, max_size=70) | texts_with_headings, min_size=1, max_size=12),
        policy=POLICIES,
        title=titles,
    )
    def are_cut_alike(texts, policy, title):
        cutter.execute("delete from warehouse.vector.document_input")
        cutter.execute("delete from warehouse.vector.chunk_policy_input")
        cutter.execute("insert into warehouse.vector.chunk_policy_input values ('any', '*', ?, ?, ?, true, ?)", policy)
        cutter.executemany(
            "insert into warehouse.vector.document_input"
            " values (?, 'page', '{}', ?, ?, '{}', timestamp '2026-01-01', null, 'page')",
            [(f"page:{i}", title, text) for i, text in enumerate(texts)],
        )
        for view in views:
            _same_rows(cutter, native[view], translated[view], without=("last_indexed_utc",))

    are_cut_alike()


def test_the_comparison_sees_a_difference(warehouse, native, translated):
    with pytest.raises(AssertionError):
        _same_rows(warehouse, native["document"], translated("document").replace("'newline-1'", "'newline-2'"))


def _same_rows(connection: duckdb.DuckDBPyConnection, native: str, translated: str, without: tuple = ()) -> int:
    """Asserts that both queries give the same columns and rows, in any order; the number of rows."""
    expected, given = (_rows(connection, sql, without) for sql in (native, translated))
    assert given[0] == expected[0]
    assert list((given[1] - expected[1]).items())[:3] == []
    assert list((expected[1] - given[1]).items())[:3] == []
    return expected[1].total()


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, without: tuple) -> tuple[list[str], Counter]:
    result = connection.execute(sql)
    names = [column[0] for column in result.description]
    kept = [i for i, name in enumerate(names) if name not in without]
    return [names[i] for i in kept], Counter(tuple(_exact(row[i]) for i in kept) for row in result.fetchall())


def _exact(value: Any) -> Any:
    """JSON's decimals are not a float32's to the last digit."""
    return round(value, 6) if isinstance(value, float) else value


def _mirror(connection: duckdb.DuckDBPyConnection) -> None:
    """Views over every relation of the warehouse, in a catalogue of their own."""
    connection.execute("attach ':memory:' as mirror")
    relations = connection.execute(
        "select table_schema, table_name from information_schema.tables where table_catalog = 'warehouse'"
    ).fetchall()
    assert set(LEDGERS) <= {name for _, name in relations}
    for schema, name in relations:
        connection.execute(f"create schema if not exists mirror.{schema}")
        replaced = (
            " replace (cast(to_json(vector) as varchar) as vector)"
            if name.startswith("embedding")
            and ("vector" in {row[0] for row in connection.execute(f"describe warehouse.{schema}.{name}").fetchall()})
            else ""
        )
        connection.execute(f"create view mirror.{schema}.{name} as select *{replaced} from warehouse.{schema}.{name}")
