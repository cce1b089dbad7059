"""What the SQL Server engine sends: statements, parameters and transactions, seen by a connection that records."""

import re
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from tsql.driver import pyodbc
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.rules import violations

from vector.commands.failures import RELATION, open_failures
from vector.commands.spaces import covered_spaces
from vector.contracts.ledgers import EMBEDDING_SPACE, Column
from vector.contracts.models import EmbeddingCanary, EmbeddingSpace, VectorJob, compute_vector_hash
from vector.engines import engine_for_connection
from vector.engines.base import SearchRequest
from vector.engines.filters import SearchFilters
from vector.engines.sqlserver import SqlServerEngine
from vector.errors import ConfigurationError, InvalidRecord
from vector.pending import materialize_plan, read_fresh_texts
from vector.pinning import refuse_another_model
from vector.planning import EmbedOptions
from vector.providers.hash import HashProvider
from vector.store import VectorStore
from vector.verify import verify_vectors

HOSTILE = "'; drop table chunk; -- 日本"
TEXT, VECTOR = Column("chunk_id", "chunk_id", "text"), Column("vector", "vector", "vector")
SPACE = "00000000-0000-0000-0000-000000000001"


class Server:
    """Answers by the first pattern that a statement has; an exception among the answers is raised."""

    def __init__(self):
        self.answers = [
            (r"select @@trancount", [(0,)]),
            (r"select count\(\*\) from #vector_staged", lambda rows: [(self.staged,)]),
            (r"from sys\.objects", [(name,) for name in RELATIONS]),
        ]
        self.staged = 0

    def answer(self, sql, parameters):
        if sql.startswith("insert into #"):
            self.staged = len(parameters)
        for pattern, answer in self.answers:
            if re.search(pattern, sql):
                if isinstance(answer, list) and answer and isinstance(answer[0], Exception):
                    raise answer.pop(0)
                rows = answer(parameters) if callable(answer) else answer
                return pyodbc.Answer(["column"] * len(rows[0]) if rows else ["column"], rows)
        return pyodbc.Answer(["column"] if sql.startswith("select") and " into " not in sql else [], [], 1)


RELATIONS = (
    "embedding_space job run source_registry chunk chunk_version embedding embedding_canary embedding_failure retrieval"
    " retrieval_hit space_publication evaluation_interval embedding_state embedding_pending embedding_current"
    " space_status search_setting"
).split()


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def connection(server):
    made = pyodbc.Connection(server.answer, autocommit=True)
    yield made
    for call in made.calls:
        if "sql" in call:
            assert violations(call["sql"]) == []
            assert sqlglot_complaints(call["sql"]) == []
            assert sqlfluff_complaints(call["sql"].replace("?", "@p")) == []


@pytest.fixture
def engine(connection, monkeypatch):
    monkeypatch.setattr("vector.engines.sqlserver.time.sleep", lambda seconds: None)
    # The stand-in is not called pyodbc here, as it is where dbt imports it.
    monkeypatch.setattr(pyodbc.Connection, "__module__", "pyodbc")
    return engine_for_connection(connection)


def test_the_engine_of_a_pyodbc_connection_is_this_one(engine):
    assert isinstance(engine, SqlServerEngine)


# Staging


def test_rows_are_staged_in_bulk_and_counted(engine, connection):
    rows = [("a" * 64, "[1,2]"), (HOSTILE, "[3,4]")]
    with engine.staged([TEXT, VECTOR], rows) as staged:
        assert staged.startswith("#")
    create, insert, count, drop = connection.calls
    assert re.fullmatch(
        rf"create table {staged} \(chunk_id nvarchar\(400\) collate Latin1_General_100_BIN2 null,"
        r" vector n?varchar\(max\) collate Latin1_General_100_BIN2 null\)",
        create["sql"],
    )
    assert insert["sql"] == f"insert into {staged} values (?, ?)"
    assert insert["parameters"] == rows
    assert insert["fast"]
    assert count["sql"] == f"select count(*) from {staged}"
    assert drop["sql"] == f"drop table if exists {staged}"


def test_freetds_gets_no_parameter_arrays(connection, monkeypatch):
    monkeypatch.setattr(pyodbc.Connection, "__module__", "pyodbc")
    connection.driver = "libtdsodbc.so"
    with engine_for_connection(connection).staged([TEXT], [("a",)]):
        pass
    assert [call["fast"] for call in connection.calls if call["call"] == "executemany"] == [False]


def test_a_driver_that_loses_rows_is_refused(engine, server):
    server.answers.insert(0, (r"select count\(\*\) from #vector_staged", [(1,)]))
    with pytest.raises(ConfigurationError, match="staged 1 of 2 rows"), engine.staged([TEXT], [("a",), ("b",)]):
        pass


def test_a_long_text_gets_a_long_type_counted_in_utf16(engine, connection):
    with engine.staged([TEXT], [("😀" * 201,)]):
        pass
    assert "nvarchar(max)" in connection.calls[0]["sql"]


def test_every_staged_text_has_the_ledgers_collation(engine, connection):
    kinds = ("text", "json", "integer", "real", "boolean", "utc", "vector")
    with engine.staged([Column(f"of_{kind}", "", kind) for kind in kinds], []):
        pass
    for definition in re.findall(r"\w+ (n?varchar\S*.*?) null", connection.calls[0]["sql"]):
        assert definition.endswith("collate Latin1_General_100_BIN2")


# Transactions


def test_a_transaction_is_committed_once_and_autocommit_is_given_back(engine, connection):
    connection.autocommit = True
    assert engine.atomically(lambda: engine.execute("update [vector].[chunk] set managed_by = ?", ["dbt"])) == 1
    assert [call["call"] for call in connection.calls] == ["execute", "execute", "commit"]
    assert connection.autocommit is True


def test_a_deadlock_is_tried_again(engine, connection, server):
    server.answers.insert(0, (r"^update", [_deadlock(), _deadlock()]))
    engine.atomically(lambda: engine.execute("update [vector].[chunk] set managed_by = 'dbt'"))
    calls = [call["call"] for call in connection.calls]
    assert calls == ["execute", "execute", "rollback", "execute", "rollback", "execute", "commit"]


def test_a_deadlock_is_not_tried_for_ever(engine, connection, server):
    server.answers.insert(0, (r"^update", [_deadlock() for _ in range(100)]))
    with pytest.raises(pyodbc.Error, match="1205"):
        engine.atomically(lambda: engine.execute("update [vector].[chunk] set managed_by = 'dbt'"))
    calls = [call["call"] for call in connection.calls]
    assert 2 <= calls.count("rollback") <= 10
    assert "commit" not in calls


@pytest.mark.parametrize(
    "error",
    [
        pyodbc.ProgrammingError("42S02", "[42S02] Invalid object name 'vector.chunk'. (208)"),
        # A number that only looks like a deadlock's.
        pyodbc.DatabaseError("23000", "[23000] The key value is (1205f, 2). (2627)"),
        ValueError("1205"),
    ],
)
def test_another_error_is_not_tried_again(engine, connection, server, error):
    server.answers.insert(0, (r"^update", [error] * 100))
    with pytest.raises(type(error)):
        engine.atomically(lambda: engine.execute("update [vector].[chunk] set managed_by = 'dbt'"))
    assert [call["call"] for call in connection.calls].count("rollback") == 1


def test_a_transaction_that_is_open_is_refused(engine, server):
    server.answers.insert(0, (r"select @@trancount", [(1,)]))
    with pytest.raises(ConfigurationError, match="transaction open"):
        engine.atomically(lambda: None)


def test_no_transaction_stays_open_behind_a_read(engine, connection):
    connection.autocommit = False
    engine.query("select chunk_id from [vector].[chunk] where source_id = ?", [HOSTILE])
    assert [call["call"] for call in connection.calls] == ["execute", "commit"]


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (
            pyodbc.IntegrityError(
                "23000",
                "[23000] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]The INSERT statement conflicted with the"
                ' FOREIGN KEY constraint "fk_run_job". The conflict occurred in database "w", table "vector.job",'
                " column 'job_id'. (547) (SQLExecDirectW); [23000] [Microsoft][ODBC Driver 18 for SQL Server]"
                "[SQL Server]The statement has been terminated. (3621)",
            ),
            'The INSERT statement conflicted with the FOREIGN KEY constraint "fk_run_job". The conflict occurred in'
            ' database "w", table "vector.job", column \'job_id\'.',
        ),
        (
            pyodbc.IntegrityError(
                "Driver Error: Integrity constraint violation; DDBC Error: [Microsoft][SQL Server]Violation of PRIMARY"
                " KEY constraint 'pk_job'. Cannot insert duplicate key in object 'vector.job'. The duplicate key value"
                " is (j).",
            ),
            "Violation of PRIMARY KEY constraint 'pk_job'. Cannot insert duplicate key in object 'vector.job'. The"
            " duplicate key value is (j).",
        ),
        (pyodbc.ProgrammingError("42S02", "[42S02] Invalid object name (208)"), None),
        (InvalidRecord("vector.job"), None),
        (KeyError(), None),
    ],
)
def test_what_a_constraint_refused_is_explained(engine, error, explained):
    assert engine.explain_constraint(error) == explained


def test_what_a_constraint_refuses_is_an_invalid_record(engine, connection, server):
    refused = pyodbc.IntegrityError("23000", "[23000] Violation of PRIMARY KEY constraint 'pk_job'. (2627)")
    server.answers.insert(0, (r"^insert into \[vector\]\.\[job\]", [refused]))
    with pytest.raises(InvalidRecord, match="^job: Violation of PRIMARY KEY constraint 'pk_job'.$"):
        VectorStore(engine=engine).save_job(VectorJob.create_new("EMBED_CHUNKS", {}))
    assert [call["call"] for call in connection.calls].count("rollback") == 1


def test_vectors_are_verified_as_they_are_stored(engine, connection, server):
    good = np.asarray([0.1, -2.5], np.float32)
    sha256 = compute_vector_hash(good)
    stored = [
        ("good", engine.encode_vector(good), sha256),
        ("other", "[0.1,2.5]", sha256),
        ("no-json", "[0.1,", sha256),
        ("null", "[null,1]", sha256),
        ("an-object", '{"a":1}', sha256),
    ]
    server.answers.insert(0, (r"select embedding_id, vector, vector_sha256", stored))
    assert verify_vectors(VectorStore(engine=engine)) == ["an-object", "no-json", "null", "other"]


def test_the_database_is_named_by_server_and_database(engine, server):
    server.answers[:0] = [(r"serverproperty", [("server", "warehouse")]), (r"from sys\.objects", [])]
    with pytest.raises(
        ConfigurationError, match="^server/warehouse: schema vector lacks .* and 14 more; run `dbt build`"
    ):
        VectorStore(engine=engine)


# What the store sends


def test_values_are_parameters_and_never_part_of_a_statement(engine, connection, server):
    server.answers.insert(0, (r"from #vector_staged_\d+ as staged left join", []))
    store = VectorStore(engine=engine)
    job = VectorJob.create_new("EMBED_CHUNKS", {"note": HOSTILE})
    store.save_job(job)
    store.list_chunks(source_id=HOSTILE, limit=3)
    sent = [call for call in connection.calls if "sql" in call]
    assert not any(HOSTILE in call["sql"] or job.job_id in call["sql"] for call in sent)
    assert any(HOSTILE in str(call["parameters"]) for call in sent)
    assert all(call["sql"].count("?") == len(call["parameters"]) for call in sent if call["call"] == "execute")


def test_what_the_commands_list_is_read_in_words_of_both_engines(engine, connection, server):
    server.answers.insert(
        0, (r"as spaces inner join", [("one", "hash", "hash", None, 8, "cosine", 1, SPACE, "live", False, 4, 1, 2, 1)])
    )
    server.answers.insert(0, (r"from sys\.objects", [(RELATION,), *((name,) for name in RELATIONS)]))
    store = VectorStore(engine=engine)
    (space,) = covered_spaces(store)
    assert (space["is_active"], space["status"], space["chunks"], space["quarantined"], space["percent"]) == (
        True,
        "live",
        4,
        1,
        25,
    )
    assert open_failures(store) == []
    assert any(RELATION in call.get("sql", "") for call in connection.calls)


def test_a_save_is_one_guarded_insert_in_one_transaction(engine, connection):
    store = VectorStore(engine=engine)
    connection.calls.clear()
    store.save_job(VectorJob.create_new("EMBED_CHUNKS", {}))
    calls = [call.get("sql", call["call"]) for call in connection.calls]
    (insert,) = [sql for sql in calls if sql.startswith("insert into [vector].[job]")]
    assert re.search(r"select .* from #vector_staged_\d+ as staged where not exists \(select 1 from", insert)
    assert calls.count("commit") == 1
    assert calls.index("commit") > calls.index(insert)
    assert any(re.match(r"drop table if exists #vector_staged", sql) for sql in calls)


def test_canaries_are_written_as_json_and_compared_by_parameters(engine, connection, server):
    space = EmbeddingSpace.create_new("hash", "hash", 2)
    server.answers.insert(0, (r"from \[vector\]\.\[embedding_space\]", [EMBEDDING_SPACE.to_row(space)]))
    store = VectorStore(engine=engine)
    connection.calls.clear()
    store.save_embedding_canaries([EmbeddingCanary.create_new(space.embedding_space_id, 0, "0" * 64, [0.6, 0.8])])
    (staged,) = [call for call in connection.calls if call.get("sql", "").startswith("insert into #")]
    assert "[0.6,0.8]" in staged["parameters"][0]
    (insert,) = [sql for call in connection.calls if (sql := call.get("sql", "")).startswith("insert into [vector]")]
    assert "not exists (select 1 from [vector].[embedding_canary] as ledger where" in insert
    assert not any("native" in call.get("sql", "") for call in connection.calls)

    provider = HashProvider(space)
    provider.model_digest = "sha256:1"
    connection.calls.clear()
    refuse_another_model(store, space, provider)
    (asked,) = [call for call in connection.calls if "embedding_canary" in call.get("sql", "")]
    assert asked["parameters"] == [space.embedding_space_id, "sha256:1", "sha256:1", space.embedding_space_id]


def test_a_materialized_select_holds_no_parameter(engine, connection):
    engine.materialize("pending", "select chunk_id from [vector].[embedding_pending] where space_key = ?", ["minilm"])
    drop, select = [call for call in connection.calls if "sql" in call]
    assert drop["sql"] == "drop table if exists #pending"
    assert select["sql"].startswith("select * into #pending from (select chunk_id")
    assert "N'minilm'" in select["sql"]
    assert select["parameters"] == []


@pytest.mark.parametrize("value", [HOSTILE, "a b", "it's", "é'", 1.5, None, datetime(2026, 1, 1)])
def test_a_materialized_select_takes_ids_and_numbers_only(engine, connection, value):
    with pytest.raises(ConfigurationError, match="neither an id nor a number"):
        engine.materialize("pending", "select chunk_id from [vector].[chunk] where chunk_id = ?", [value])
    assert not any("select" in call.get("sql", "") for call in connection.calls)


@pytest.mark.parametrize("name", ["chunk]; drop table x; --", "a b", "", "1a", "a.b"])
def test_a_name_that_is_no_identifier_is_refused(engine, connection, name):
    for use in (engine.table, engine.materialized):
        with pytest.raises(ConfigurationError, match="not a plain SQL identifier"):
            use(name)
    if name:  # a schema may be called as dbt calls it: it is quoted
        assert SqlServerEngine(connection, name).table("chunk") == f"[{name.replace(']', ']]')}].[chunk]"
    else:
        with pytest.raises(ConfigurationError, match="cannot be the name of a schema"):
            SqlServerEngine(connection, name)


def test_a_search_filters_on_the_server_by_parameters(engine, connection, server):
    server.answers[:0] = [
        (r"from sys\.columns", [(0,)]),
        (r"serverproperty", [("server", "analytics 2026")]),
        (r"select searched\.chunk_id from \[vector\]\.\[chunk\]", [("c1",), ("c2",)]),
        (r"searched\.vector", [("c1", "h1", "[1,0]"), ("c2", "h2", "[0,1]")]),
    ]
    hits, compared = engine.search(
        SearchRequest(SPACE, np.asarray([0, 1], np.float32), "cosine", 1, SearchFilters(("page", HOSTILE), ("page:1",)))
    )
    assert [hit.chunk_id for hit in hits] == ["c2"]
    assert compared == 2
    (filtered,) = [call for call in connection.calls if "from [vector].[chunk] as searched" in call.get("sql", "")]
    assert filtered["sql"].endswith(
        "where searched.retired_utc is null and searched.source_type in (?, ?) and searched.source_id in (?)"
    )
    assert filtered["parameters"] == ["page", HOSTILE, "page:1"]


def test_tags_and_dates_of_a_source_are_conditions_of_the_server(engine, connection, server):
    server.answers[:0] = [
        (r"from sys\.columns", [(0,)]),
        (r"serverproperty", [("server", "analytics 2026")]),
        (r"select searched\.chunk_id from \[vector\]\.\[chunk\]", [("c1",)]),
        (r"searched\.vector", [("c1", "h1", "[1,0]")]),
    ]
    filters = SearchFilters(
        tags=(("lang", "en"), ("tags", HOSTILE)),
        updated_from=datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        updated_before=datetime(2026, 2, 1),
    )
    hits, _ = engine.search(SearchRequest(SPACE, np.asarray([0, 1], np.float32), "cosine", 1, filters))
    assert [hit.chunk_id for hit in hits] == ["c1"]
    (filtered,) = [call for call in connection.calls if "openjson" in call.get("sql", "")]
    assert "searched.source_id in (select source.source_id from [vector].[source_registry]" in filtered["sql"]
    assert (
        filtered["sql"].count("exists (select 1 from openjson(case when isjson(source.tags_json) = 1 and ltrim(") == 2
    )
    assert filtered["sql"].endswith(
        "source.source_updated_utc >= cast(? as datetime2(6)) and source.source_updated_utc < cast(? as datetime2(6)))"
    )
    assert filtered["parameters"] == [
        *("lang", "en", "en", "tags", HOSTILE, HOSTILE), datetime(2026, 1, 1, 10), datetime(2026, 2, 1)
    ]  # fmt: skip


def test_the_fingerprint_of_the_current_chunks_reads_no_text(engine, connection, server):
    server.answers[:0] = [(r"count_big", [(7, -12)])]
    assert engine.current_fingerprint(SPACE) == "7--12"
    (asked,) = [call for call in connection.calls if "count_big" in call.get("sql", "")]
    assert asked["parameters"] == [SPACE]
    assert "content," not in asked["sql"]


@pytest.mark.parametrize(
    ("metric", "distance", "score"), [("cosine", 0.25, 0.75), ("dot", -3.0, 3.0), ("euclidean", 2.0, -2.0)]
)
def test_native_vectors_are_compared_in_the_database(engine, connection, server, metric, distance, score):
    def found(parameters):
        (sql,) = [call["sql"] for call in connection.calls if "vector_distance" in call.get("sql", "")]
        return [("c1", "h1", 1 - distance if "1 - found.distance as score" in sql else -distance)]

    server.answers[:0] = [
        (r"from sys\.objects", [("embedding_vector_2",)]),
        (r"vector_distance", found),
        (r"select count\(\*\) from \[vector\]", [(7,)]),
    ]
    hits, compared = engine.search(
        SearchRequest(SPACE, np.asarray([0, 1], np.float32), metric, 3, SearchFilters((HOSTILE,)))
    )
    assert [(hit.chunk_id, hit.score) for hit in hits] == [("c1", score)]
    assert compared == 7
    (searched,) = [call for call in connection.calls if "vector_distance" in call.get("sql", "")]
    assert searched["parameters"] == [3, "[0.0,1.0]", SPACE, HOSTILE]
    assert f"vector_distance('{metric}', native.vector, cast(cast(? as varchar(max)) as vector(2)))" in searched["sql"]
    assert "[vector].[embedding_current]" in searched["sql"]


def test_embeddings_are_written_as_native_vectors_where_there_is_a_table(engine, connection, server):
    server.answers[:0] = [
        (r"from sys\.objects", [("embedding_vector_2",)]),
        (r"select distinct dimensions", [(2,), (3,)]),
    ]
    engine.insert_new("embedding", "#staged", ["embedding_id", "vector"], ["chunk_id", "embedding_space_id"])
    native = [call["sql"] for call in connection.calls if "embedding_vector_2" in call.get("sql", "")]
    assert len(native) == 1
    assert "cast(ledger.vector as vector(2))" in native[0]
    assert "where ledger.dimensions = 2 and not exists" in native[0]


def test_a_lost_connection_is_opened_anew_with_its_temporary_tables(server, connection, monkeypatch):
    monkeypatch.setattr("vector.engines.sqlserver.time.sleep", lambda seconds: None)
    again = pyodbc.Connection(server.answer, autocommit=True)
    engine = SqlServerEngine(connection, reconnect=lambda: again)
    engine.materialize("plan", "select chunk_id from chunk where chunk_id = ?", ["a-1"])
    lost = [pyodbc.OperationalError("08S01", "[08S01] Communication link failure")]

    def work():
        if lost:
            raise lost.pop()
        return engine.execute("insert into chunk (chunk_id) values (1)")

    engine.atomically(work)
    assert [call["sql"] for call in again.calls if "sql" in call] == [
        "select * into #plan from (select chunk_id from chunk where chunk_id = N'a-1') as kept",
        "insert into chunk (chunk_id) values (1)",
    ]


@pytest.fixture
def losing(server, monkeypatch):
    """An engine, and its connections so far: one more each time that one is lost. An answer of the server that is
    `_lost()` loses it."""
    monkeypatch.setattr("vector.engines.sqlserver.time.sleep", lambda seconds: None)
    opened = []

    def connect():
        opened.append(pyodbc.Connection(server.answer, autocommit=True))
        return opened[-1]

    return SqlServerEngine(connect(), reconnect=connect), opened


@pytest.mark.parametrize("first", ["select @@trancount", "^update"])
def test_a_connection_that_was_lost_while_it_was_idle_is_opened_anew(losing, server, first):
    engine, opened = losing
    server.answers.insert(0, ("^update", lambda parameters: []))
    server.answers.insert(0, (first, [_lost(), *([(0,)] if "trancount" in first else [])]))
    engine.atomically(lambda: engine.execute("update [vector].[chunk] set managed_by = 'dbt'"))
    assert len(opened) == 2
    assert [call["call"] for call in opened[1].calls].count("commit") == 1


def test_a_select_outside_of_a_transaction_is_asked_again_once(losing, server):
    engine, opened = losing
    server.answers.insert(0, ("select chunk_id", [_lost(), ("a",)]))
    assert engine.query("select chunk_id from chunk") == [("a",)]
    server.answers.insert(0, ("select chunk_id", [_lost(), _lost()]))
    with pytest.raises(pyodbc.OperationalError):
        engine.query("select chunk_id from chunk")
    assert len(opened) == 3


def test_a_select_in_a_transaction_is_not_asked_again_alone(losing, server):
    engine, opened = losing
    server.answers.insert(0, ("select chunk_id", [_lost(), ("a",)]))
    tries = []

    def work():
        tries.append(len(opened))
        return engine.query("select chunk_id from chunk")

    assert engine.atomically(work) == [("a",)]
    assert tries == [1, 2]


def test_pages_of_a_plan_go_on_where_they_were_after_a_lost_connection(losing, server, monkeypatch):
    monkeypatch.setattr("vector.pending.PAGE", 1)
    engine, opened = losing
    sizes = iter([(5, "a"), (5, "b"), _lost(), (None, None)])
    texts = iter([("a", "text", "c1"), ("b", "text", "c2"), ("c", "longer", "c3")])

    def next_of(rows):
        def answer(parameters):
            row = next(rows)
            if isinstance(row, Exception):
                raise row
            return [row]

        return answer

    server.answers[:0] = [(r"select min\(final", next_of(sizes)), (r"select chunk\.content_sha256", next_of(texts))]
    store = VectorStore(engine=engine)
    space = EmbeddingSpace.create_new("hash", "hash", 2)
    materialize_plan(store, space, EmbedOptions())
    assert [text.content_sha256 for text in read_fresh_texts(store, 3)] == ["a", "b", "c"]

    made, *bounds = [call for call in opened[1].calls if "#vector_embedding_plan" in call.get("sql", "")]
    assert made["sql"].startswith("select * into #vector_embedding_plan from (select pending.*, dense_rank()")
    assert [call["parameters"] for call in bounds] == [[5, 5, "b"], [5, 5, "b"]]
    for call in [call for connection in opened for call in connection.calls if "sql" in call]:
        assert violations(call["sql"]) == []
        assert sqlglot_complaints(call["sql"]) == []
        assert sqlfluff_complaints(call["sql"].replace("?", "@p")) == []


def test_without_a_way_to_reconnect_a_lost_connection_is_an_error(connection):
    def work():
        raise pyodbc.OperationalError("08S01", "[08S01] Communication link failure")

    with pytest.raises(pyodbc.OperationalError):
        SqlServerEngine(connection).atomically(work)


@pytest.mark.parametrize("use", ["query", "execute"])
def test_a_missing_permission_says_what_to_do(engine, server, use):
    denied = pyodbc.ProgrammingError(
        "42000", "[42000] The SELECT permission was denied on the object 'chunk', database 'analytics'. (229)"
    )
    server.answers.insert(0, (r"select chunk_id", [denied]))
    with pytest.raises(ConfigurationError, match=r"SELECT permission was denied .* grant the role"):
        getattr(engine, use)("select chunk_id from chunk")


def _lost() -> pyodbc.OperationalError:
    return pyodbc.OperationalError("08S01", "[08S01] [Microsoft] Communication link failure (10054)")


def _deadlock() -> pyodbc.DatabaseError:
    return pyodbc.DatabaseError(
        "40001", "[40001] [Microsoft][SQL Server] Transaction (Process ID 52) was deadlocked on lock resources. (1205)"
    )
