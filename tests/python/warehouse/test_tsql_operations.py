"""What dbt's operations send to SQL Server, seen by a driver that records and talks to no server."""

import re

import pytest
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.recording import record
from tsql.rules import violations
from tsql.server import CannedServer


def ours(recording):
    """The statements in their order, but for dbt-sqlserver's own."""
    return [sql for sql in recording.every_statement if '"retrieval' in sql or sql.lower().startswith("commit")]


@pytest.fixture(scope="module")
def retention(parsed_folder):
    """What deletes old searches, and what only counts them."""
    return {
        arguments: record(
            parsed_folder,
            CannedServer(),
            *("run-operation", "delete_old_retrievals", "--args", arguments),
        )
        for arguments in (
            "{days: 90}",
            "{days: 90, evaluations: true}",
            "{days: 90, dry_run: true, evaluations: true}",
        )
    }


def test_retention_deletes_the_hits_before_their_searches(retention):
    done = retention["{days: 90}"]
    assert done.done.returncode == 0, done.output
    assert "Deleted 2 searches and 9 hits" in done.output
    deletes = [" ".join(sql.split()) for sql in ours(done) if "delete from" in sql]
    # A transaction for each batch of the two that the server was said to have.
    pattern = re.compile('delete from "[a-z"._]*"(\\w+)"|(commit) transaction')
    kinds = [found[1] or found[2] for sql in done.every_statement if (found := pattern.search(sql.lower()))]
    assert kinds[-6:] == ["retrieval_hit", "retrieval", "commit"] * 2
    assert len(deletes) == 4
    for (hits, searches), last_id in zip((deletes[:2], deletes[2:]), ("5f", "f0"), strict=True):
        assert 'delete from "analytics"."vector"."retrieval_hit" where retrieval_id in (' in hits
        assert 'delete from "analytics"."vector"."retrieval" where ' in searches
        assert f"retrieval_id <= '{last_id}' and (" in hits
        assert f"retrieval_id <= '{last_id}' and (" in searches
    for sql in deletes:
        assert "( run_id is null and eval_query_id is null and created_utc < cast(" in sql
        assert "as datetime2(6))" in sql
        assert "of_run" not in sql


def test_evaluations_are_deleted_by_run_or_by_day(retention):
    deletes = [
        " ".join(sql.split()) for sql in ours(retention["{days: 90, evaluations: true}"]) if "delete from" in sql
    ]
    assert len(deletes) == 4
    for sql in deletes:
        assert "or ( run_id is null and eval_query_id is not null and created_utc < cast(" in sql
        assert " 00:00:00' as datetime2(6))" in sql
        assert "group by of_run.run_id having max(of_run.created_utc) < cast(" in sql


def test_a_dry_run_deletes_nothing(retention):
    counted = retention["{days: 90, dry_run: true, evaluations: true}"]
    assert "Would delete 2 searches and 9 hits" in counted.output
    assert not any("delete" in sql for sql in counted.every_statement)


def test_the_statements_are_t_sql(retention):
    sent = [[sql for sql in ours(recording) if '"retrieval' in sql] for recording in retention.values()]
    assert [len(statements) for statements in sent] == [6, 6, 1]
    for check in (violations, sqlglot_complaints, sqlfluff_complaints):
        assert {sql: found for sql in sum(sent, []) if (found := check(sql))} == {}
