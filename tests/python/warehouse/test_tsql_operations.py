"""What retention sends to SQL Server is T-SQL, by a driver that records; what it does is in test_conformance.py."""

import pytest
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.recording import record
from tsql.rules import violations
from tsql.server import CannedServer

pytestmark = pytest.mark.long


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


def test_a_dry_run_deletes_nothing(retention):
    counted = retention["{days: 90, dry_run: true, evaluations: true}"]
    assert "Would delete 2 searches and 9 hits" in counted.output
    assert not any("delete" in sql for sql in counted.every_statement)


def test_the_statements_are_t_sql(retention):
    sent = [[sql for sql in ours(recording) if '"retrieval' in sql] for recording in retention.values()]
    assert [len(statements) for statements in sent] == [6, 6, 1]
    for check in (violations, sqlglot_complaints, sqlfluff_complaints):
        assert {sql: found for sql in sum(sent, []) if (found := check(sql))} == {}
