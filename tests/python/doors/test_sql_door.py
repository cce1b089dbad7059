"""The door for SQL: `vector_search` on a connection of `vector.open().connection()`."""

import math
import re
from textwrap import dedent

import duckdb
import pytest
from support import PROJECT_DIR
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints

import vector
from vector.engines.sqlserver.engine import SqlServerEngine
from vector.errors import ConfigurationError

QUESTION = "Which moon has geysers?"


def questions(warehouse):
    return sorted(each.query_text for each in warehouse.store.list_retrievals())


def test_hits_are_a_table_that_can_be_joined_and_each_question_is_logged_once(opened):
    before = questions(opened)
    connection = opened.connection()
    connection.execute("create temp table verdict as select 1 as rank, 'good' as said union all select 2, 'bad'")
    rows = connection.execute(
        "select hits.rank, said, hits.chunk_id, hits.retrieval_id from vector_search('what joins', 3) as hits"
        " left join verdict using (rank) where hits.score > -1 order by rank"
    ).fetchall()
    assert [row[:2] for row in rows] == [(1, "good"), (2, "bad"), (3, None)]
    assert questions(opened) == sorted([*before, "what joins"])
    (retrieval_id,) = {row[3] for row in rows}
    assert [hit.chunk_id for hit in opened.store.list_retrieval_hits(retrieval_id)] == [row[2] for row in rows]


def test_the_columns_are_those_of_the_hits_of_python(opened):
    of_sql = opened.connection().sql("from vector_search('the same', 4)").to_arrow_table()
    hits = opened.search("the same", 4)
    drop = ["retrieval_id", "components", "source_ref"]
    assert of_sql.column_names == hits.to_arrow().column_names
    assert of_sql.drop(drop).to_pylist() == hits.to_arrow().drop(drop).to_pylist()


def test_a_statement_that_is_only_prepared_asks_nothing(opened):
    before = questions(opened)
    connection = opened.connection()
    connection.execute("describe from vector_search('nobody asks this')")
    connection.execute("explain from vector_search('nor this', 3)")
    assert questions(opened) == before
    assert connection.execute("select count(*) from vector_search('asked', top_k := 2)").fetchall() == [(2,)]
    assert len(connection.execute("from vector_search('asked by default')").fetchall()) == 10
    assert questions(opened) == sorted([*before, "asked", "asked by default"])


def test_a_table_of_questions_is_asked_row_by_row(opened):
    rows = opened.connection().execute(
        "select question, rank from (values ('first'), ('second'), (null)) as asked (question),"
        " vector_search(asked.question, 2) order by all"
    )
    assert rows.fetchall() == [("first", 1), ("first", 2), ("second", 1), ("second", 2)]


def test_what_a_search_refuses_is_an_error_of_the_statement(opened):
    with pytest.raises(duckdb.Error, match="the question is empty; ask something"):
        opened.connection().execute("from vector_search('  ', 3)")
    with pytest.raises(duckdb.Error, match="top_k is 0"):
        opened.connection().execute("from vector_search('x', 0)")


def test_a_search_from_sql_is_replayed_as_any_other(opened, project):
    connection = opened.connection()
    ((retrieval_id,),) = connection.execute("select distinct retrieval_id from vector_search('replayed', 3)").fetchall()
    opened.close()
    assert '"changed":0' in project.vector("replay", retrieval_id, "--json").stdout.replace(" ", "")
    with pytest.raises(duckdb.Error):  # closed with the warehouse, so that others can write
        connection.execute("select 1")


def test_over_a_connection_that_only_reads(project):
    with duckdb.connect(str(project.database_path), read_only=True) as given:
        rows = vector.open(connection=given).connection().execute("from vector_search('read', 2)").fetchall()
    assert [row[:2] for row in rows] == [(None, 1), (None, 2)]


def test_similarity_to_a_stored_chunk_needs_no_model_and_no_door(opened):
    """The statement of docs/analysts.md, in the space of the test."""
    section = (PROJECT_DIR / "docs" / "analysts.md").read_text(encoding="utf-8").split("## Similarity in SQL")[1]
    sql, t_sql = (
        dedent(each) for each in re.findall(r"(?:^    .*\n)+", section.split("## The report")[0], re.MULTILINE)
    )
    connection = opened.connection()
    connection.execute("use vector")
    rows = connection.execute(sql.replace("'bge-small'", "'hash'")).fetchall()
    ((io,),) = connection.execute(
        "select vector from embedding_current where source_id = 'entity:io' and space_key = 'hash'"
    ).fetchall()
    others = connection.execute("select source_id, vector from embedding_current where source_id <> 'entity:io'")
    best = sorted((sum(map(math.prod, zip(io, vector, strict=True))) for _, vector in others.fetchall()), reverse=True)
    assert [row[2] for row in rows] == pytest.approx(best[:3], abs=0.001)
    assert sqlglot_complaints(t_sql) == sqlfluff_complaints(t_sql) == []


def test_sql_server_is_told_where_its_sql_is():
    class SqlServer:
        location, calling_session = "server/database", SqlServerEngine.calling_session

    from vector.search.sql_function import with_vector_search

    with pytest.raises(ConfigurationError, match="server/database: vector_search in SQL is DuckDB's alone"):
        with_vector_search(SqlServer(), None)
