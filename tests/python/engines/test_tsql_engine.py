"""What the SQL Server engine sends: statements, parameters and transactions, seen by a connection that records."""

import json
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tsql.driver import pyodbc
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.rules import violations
from tsql.session import HOSTILE, RELATIONS, SPACE, Server, assert_t_sql

from vector.commands.failures import RELATION, open_failures
from vector.commands.spaces import covered_spaces
from vector.contracts.ledgers import EMBEDDING_SPACE, Column, key_column
from vector.contracts.models import EmbeddingCanary, EmbeddingSpace, VectorJob, compute_vector_hash
from vector.embedding.pending import read_fresh_texts, store_plan
from vector.embedding.plan import EmbedOptions
from vector.engines import engine_for_connection
from vector.engines.base import SearchRequest
from vector.engines.filters import SearchFilters
from vector.engines.sqlserver.engine import SqlServerEngine
from vector.engines.sqlserver.staging import staged_rows
from vector.errors import ConfigurationError, InvalidRecord
from vector.providers.hash import HashProvider
from vector.spaces.pinning import refuse_another_model
from vector.store import VectorStore
from vector.store.verify import verify_vectors

VECTOR = Column("vector", "vector", "vector")


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def connection(server):
    made = pyodbc.Connection(server.answer, autocommit=True)
    yield made
    assert_t_sql(made)


@pytest.fixture
def engine(connection, monkeypatch):
    monkeypatch.setattr("vector.engines.sqlserver.engine.time.sleep", lambda seconds: None)
    # The stand-in is not called pyodbc here, as it is where dbt imports it.
    monkeypatch.setattr(pyodbc.Connection, "__module__", "pyodbc")
    return engine_for_connection(connection)


def test_a_store_may_be_closed_twice(engine, connection):
    with VectorStore(engine=engine) as store:
        store.close()
    assert connection.closed


def test_the_engine_of_a_pyodbc_connection_is_this_one(engine):
    assert isinstance(engine, SqlServerEngine)


# Staging


def test_staged_rows_and_parameters_keep_their_order(engine, connection):
    with engine.staged([key_column("chunk_id")], [("a",)]) as first, engine.staged([VECTOR], [("[2]",)]) as second:
        engine.query(f"select ?, '?', 'vector_staged_1' from {second}, {first} where ? = ?", [1, 2, 3])
    (call,) = connection.calls
    assert call["parameters"] == [1, '[["[2]"]]', '[["a"]]', 2, 3]
    assert call["sql"].startswith("select ?, '?', 'vector_staged_1' from (select")
    assert "#" not in call["sql"]


@pytest.mark.parametrize(
    ("column", "value", "type"),
    [
        (key_column("chunk_id"), "a" * 64, r"varchar\(64\)"),
        (key_column("embedding_space_id"), "a", r"varchar\(36\)"),
        (key_column("source_id"), "日" * 400, r"nvarchar\(400\)"),
        # What a type would cut or fold keeps a type of its own.
        (key_column("chunk_id"), "日", r"nvarchar\(max\)"),
        (key_column("chunk_id"), "a" * 65, r"nvarchar\(max\)"),
        (key_column("source_id"), "😀" * 201, r"nvarchar\(max\)"),
        (Column("content", "", "text"), "a", r"nvarchar\(max\)"),
        (VECTOR, "[1]", r"varchar\(max\)"),
    ],
)
def test_a_staged_text_has_the_type_and_the_collation_of_the_ledger(engine, connection, column, value, type):
    with engine.staged([column], [(None,), (value,)]) as staged:
        engine.query(f"select * from {staged} as staged")
    cast = rf"\(select cast\(json_row\.{column.name} as {type}\) collate Latin1_General_100_BIN2 as {column.name} from"
    assert re.search(cast, connection.calls[0]["sql"])


def test_a_time_with_a_zone_is_staged_in_utc(engine, connection):
    with engine.staged([Column("at", "", "utc")], [(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),)]) as at:
        engine.query(f"select * from {at} as staged")
    assert connection.calls[0]["parameters"] == ['[["2025-12-31T22:00:00.000000"]]']


def test_decimals_keep_every_digit(engine, connection):
    values = [None, Decimal("12345678901234567890.123"), Decimal("1E+3"), 1e-5, 2]
    with engine.staged([Column("price", "", "real")], [(value,) for value in values]) as staged:
        engine.query(f"select * from {staged} as staged")
    (call,) = connection.calls
    assert "(price decimal(38, 5) '$[0]')" in call["sql"]
    assert json.loads(call["parameters"][0]) == [[None], ["12345678901234567890.123"], ["1000"], ["0.00001"], ["2"]]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("real", float("nan"), "price: nan is no finite number"),
        ("real", Decimal("Infinity"), "price: Infinity is no finite number"),
        ("real", Decimal("1e38"), "price: the numbers have more than 38 digits"),
        ("real", "much", "price: could not convert"),
        ("integer", 2**63, "price: 9223372036854775808 is no integer of 64 bits"),
        ("integer", 1.5, "price: 1.5 is no integer"),
        ("boolean", 2, "price: 2 is neither true nor false"),
        ("utc", "2026-01-01", "price: "),
        ("text", 1, "price: must be a text, is int"),
        ("text", "a\ud83d", "price: lone surrogate U\\+D83D at position 1"),
        ("text", "a\0", "price: NUL"),
    ],
)
def test_a_value_that_cannot_be_staged_is_named_and_nothing_is_sent(engine, connection, kind, value, message):
    with pytest.raises(InvalidRecord, match=f"^{message}"), engine.staged([Column("price", "", kind)], [(value,)]):
        pass
    assert connection.calls == []


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(texts | st.none(), texts | st.none()), max_size=5))
def test_every_text_is_in_the_json_as_it_was(rows):
    staged = staged_rows([Column("one", "", "text"), Column("two", "", "json")], rows)
    assert [tuple(row) for row in json.loads(staged.payload)] == rows
    # No parameter of a driver but this one: nothing of a text is in the statement.
    assert staged.relation.count("?") == 1


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_a_staged_vector_comes_back_bit_for_bit(values):
    vector = np.asarray(values, np.float32)
    engine = SqlServerEngine(pyodbc.Connection(Server().answer))
    (row,) = json.loads(staged_rows([VECTOR], [(engine.encode_vector(vector),)]).payload)
    assert np.asarray(engine.decode_vector(row[0]), np.float32).tobytes() == vector.tobytes()


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


def test_an_error_outside_of_a_transaction_dooms_none(engine, connection, server):
    connection.autocommit = False
    server.answers.insert(0, ("^select source_id", [_deadlock()]))
    with pytest.raises(pyodbc.DatabaseError):
        engine.query("select source_id from [vector].[chunk]")
    assert not connection.in_transaction
    assert engine.query("select chunk_id from [vector].[chunk]") == []


def test_a_read_that_is_not_read_to_its_end_leaves_no_transaction(engine, connection, server):
    connection.autocommit = False
    server.answers.insert(0, ("^select chunk_id", [("a",), ("b",)]))
    rows = engine.stream("select chunk_id from [vector].[chunk]")
    assert next(rows) == ("a",)
    rows.close()
    assert not connection.in_transaction


def test_an_error_while_rows_are_staged_is_rolled_back_and_the_next_transaction_works(engine, connection, server):
    refused = pyodbc.IntegrityError("23000", "[23000] Violation of PRIMARY KEY constraint 'pk_job'. (2627)")
    server.answers.insert(0, (r"^insert into \[vector\]\.\[job\]", [refused]))
    store = VectorStore(engine=engine)
    with pytest.raises(InvalidRecord):
        store.save_job(VectorJob.create_new("EMBED_CHUNKS", {}, by_hand_flag=True))
    assert (connection.in_transaction, connection.doomed) == (False, False)
    server.answers.pop(0)
    assert store.save_job(VectorJob.create_new("EMBED_CHUNKS", {}, by_hand_flag=True)).inserted == 1


@pytest.mark.parametrize("nocount", [False, True])
def test_rows_are_counted_whatever_nocount_is(engine, connection, nocount):
    connection.nocount = nocount
    assert engine.execute("update [vector].[chunk] set managed_by = ?", ["dbt"]) == 1
    assert (
        VectorStore(engine=engine).save_job(VectorJob.create_new("EMBED_CHUNKS", {}, by_hand_flag=True)).inserted == 1
    )
    assert connection.nocount is nocount


def test_exact_numbers_are_plain_numbers(engine, server):
    server.answers.insert(0, ("^select share", [(None, None), (Decimal("100.00000000"), Decimal(2**70))]))
    rows = [(None, None), (100.0, 2**70)]
    assert engine.query("select share, total from t") == rows
    assert list(engine.stream("select share, total from t")) == rows
    assert [type(value) for value in engine.query("select share, total from t")[1]] == [float, int]


# Locks


@pytest.mark.parametrize(("result", "held"), [(0, True), (1, True), (-1, False)])
def test_a_lock_is_held_or_another_session_has_it(engine, connection, server, result, held):
    server.answers.insert(0, ("sp_getapplock", [(result,)]))
    with engine.exclusive("embed") as given:
        assert given is held
    assert any("sp_releaseapplock" in call.get("sql", "") for call in connection.calls) is held
    assert not connection.nocount


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            pyodbc.ProgrammingError(
                "42000",
                "[42000] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]The EXECUTE permission was denied on the"
                " object 'sp_getapplock', database 'mssqlsystemresource', schema 'sys'. (229) (SQLExecDirectW)",
            ),
            "EXECUTE permission was denied",
        ),
        (
            pyodbc.ProgrammingError(
                "42000",
                "[42000] [Microsoft][ODBC Driver 18 for SQL Server][SQL Server]Could not find stored procedure"
                " 'sp_getapplock'. (2812) (SQLExecDirectW)",
            ),
            "has no application locks",
        ),
        (pyodbc.OperationalError("HYT00", "[HYT00] Query timeout expired in sp_getapplock (0)"), "Query timeout"),
    ],
)
def test_without_a_lock_nothing_is_done(engine, server, error, message):
    server.answers[:0] = [("sp_getapplock", [error]), ("serverproperty", [("server", "warehouse")])]
    with pytest.raises((ConfigurationError, pyodbc.Error), match=message), engine.exclusive("embed"):
        pytest.fail("went on without the lock")


@pytest.mark.parametrize("result", [-2, -3, -999])
def test_a_lock_that_could_not_be_asked_for_is_an_error(engine, server, result):
    server.answers.insert(0, ("sp_getapplock", [(result,)]))
    with pytest.raises(ConfigurationError, match=f"gave {result}"), engine.exclusive("embed"):
        pytest.fail("went on without the lock")


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
        VectorStore(engine=engine).save_job(VectorJob.create_new("EMBED_CHUNKS", {}, by_hand_flag=True))
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
        ConfigurationError, match="^server/warehouse: schema vector lacks .* and 16 more; run `dbt build`"
    ):
        VectorStore(engine=engine)


# What the store sends


def test_values_are_parameters_and_never_part_of_a_statement(engine, connection, server):
    server.answers.insert(0, (r"as json_row\) as staged left join", []))
    store = VectorStore(engine=engine)
    job = VectorJob.create_new("EMBED_CHUNKS", {"note": HOSTILE}, by_hand_flag=True)
    store.save_job(job)
    store.list_chunks(source_id=HOSTILE, limit=3)
    sent = [call for call in connection.calls if "sql" in call]
    assert not any(HOSTILE in call["sql"] or job.job_id in call["sql"] for call in sent)
    assert any(HOSTILE in str(call["parameters"]) for call in sent)
    assert all(call["sql"].count("?") == len(call["parameters"]) for call in sent if call["call"] == "execute")


def test_statements_that_nothing_else_here_sends_are_t_sql(engine, server):
    """What they do is in test_conformance.py."""
    space = EmbeddingSpace.create_new("hash", "hash", 2)
    server.answers[:0] = [
        (r"as spaces inner join", [("one", "hash", "hash", None, 8, "cosine", 1, SPACE, "live", 4, 1, 2, 1)]),
        (r"from sys\.objects", [(RELATION,), *((name,) for name in RELATIONS)]),
        (r"from \[vector\]\.\[embedding_space\]", [EMBEDDING_SPACE.to_row(space)]),
        (r"count_big", [("7--12",)]),
    ]
    store = VectorStore(engine=engine)
    (shown,) = covered_spaces(store)
    assert (shown["is_active"], shown["percent"]) == (True, 25)
    assert open_failures(store) == []
    store.save_embedding_canaries([EmbeddingCanary.create_new(space.embedding_space_id, 0, "0" * 64, [0.6, 0.8])])
    provider = HashProvider(space)
    provider.model_digest = "sha256:1"
    refuse_another_model(store, space, provider)
    assert engine.current_fingerprint(SPACE) == "7--12"


@pytest.mark.parametrize("value", [HOSTILE, "a b", "it's", "é'", 1.5, None, datetime(2026, 1, 1)])
def test_a_materialized_select_takes_ids_and_numbers_only(engine, connection, value):
    with pytest.raises(ConfigurationError, match="neither an id nor a number"):
        engine.create_temporary("pending", "select chunk_id from [vector].[chunk] where chunk_id = ?", [value])
    assert not any("select" in call.get("sql", "") for call in connection.calls)


@pytest.mark.parametrize("name", ["chunk]; drop table x; --", "a b", "", "1a", "a.b"])
def test_a_name_that_is_no_identifier_is_refused(engine, connection, name):
    for use in (engine.table, engine.temporary_table):
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
        (r"select searched\.chunk_id from \[vector\]\.\[chunk\]", [("c1",)]),
        (r"searched\.vector", [("c1", "h1", "[1,0]")]),
    ]
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    times = {"updated_from": noon, "updated_before": datetime(2026, 2, 1)}
    filters = SearchFilters(("page", HOSTILE), ("page:1",), tags=(("lang", "en"), ("tags", HOSTILE)), **times)
    hits, *_ = engine.search(SearchRequest(SPACE, np.asarray([0, 1], np.float32), "cosine", 1, filters))
    assert [hit.chunk_id for hit in hits] == ["c1"]
    assert not any(HOSTILE in call.get("sql", "") for call in connection.calls)
    assert any(datetime(2026, 1, 1, 10) in call.get("parameters", ()) for call in connection.calls), "in UTC"


@pytest.mark.parametrize(
    ("next_version", "token"),
    [(2002, "2001-7-9-2026"), (2001, None), (1990, None), (2003, None)],
    ids=["none is open", "one is open", "an old one is open", "one was written meanwhile"],
)
def test_the_last_row_version_tells_of_writes_while_none_is_open(engine, server, next_version, token):
    server.answers[:0] = [(r"from sys\.columns", [(2,)]), (r"@@dbts", [(next_version, 2001, 7, 9, "2026")])]
    assert engine.change_token() == token


def test_without_row_versions_there_is_no_token(engine, server):
    server.answers[:0] = [(r"from sys\.columns", [(0,)])]
    assert engine.change_token() is None


def test_a_lost_connection_is_opened_anew_with_its_temporary_tables(server, connection, monkeypatch):
    monkeypatch.setattr("vector.engines.sqlserver.engine.time.sleep", lambda seconds: None)
    again = pyodbc.Connection(server.answer, autocommit=True)
    engine = SqlServerEngine(connection, reconnect=lambda: again)
    engine.create_temporary("plan", "select chunk_id from chunk where chunk_id = ?", ["a-1"])
    lost = [pyodbc.OperationalError("08S01", "[08S01] Communication link failure")]

    def work():
        if lost:
            raise lost.pop()
        return engine.execute("insert into chunk (chunk_id) values (1)")

    engine.atomically(work)
    assert [call["sql"] for call in again.calls if "sql" in call] == [
        "select * into #plan from (select chunk_id from chunk where chunk_id = N'a-1') as kept",
        "insert into chunk (chunk_id) values (1); select @@rowcount",
    ]


@pytest.fixture
def losing(server, monkeypatch):
    """An engine, and its connections so far: one more each time that one is lost. An answer of the server that is
    `_lost()` loses it."""
    monkeypatch.setattr("vector.engines.sqlserver.engine.time.sleep", lambda seconds: None)
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
    monkeypatch.setattr("vector.embedding.pending.PAGE", 1)
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
    store_plan(store, space, EmbedOptions())
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
