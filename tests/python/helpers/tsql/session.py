"""A session with a SQL Server that records what it is sent and answers as a test says."""

import re
from collections.abc import Callable

from tsql.driver import pyodbc
from tsql.parsing import sqlfluff_complaints, sqlglot_complaints
from tsql.rules import violations

HOSTILE = "'; drop table chunk; -- 日本"
SPACE = "00000000-0000-0000-0000-000000000001"


class Server:
    """Answers by the first pattern that a statement has; an exception among the answers is raised."""

    def __init__(self):
        self.answers = [
            (r"select @@trancount", [(0,)]),
            (r"sum\(cache_epoch\)", [(0,)]),
            (r"from sys\.objects", [(name,) for name in RELATIONS]),
        ]

    def answer(self, sql, parameters):
        for pattern, answer in self.answers:
            if re.search(pattern, sql):
                if isinstance(answer, list) and answer and isinstance(answer[0], Exception):
                    raise answer.pop(0)
                rows = answer(parameters) if callable(answer) else answer
                return pyodbc.Answer(["column"] * len(rows[0]) if rows else ["column"], rows)
        reads = sql.startswith("select") and " into " not in sql or " output inserted." in sql
        return pyodbc.Answer(["column"] if reads else [], [], 1)


RELATIONS = (
    "embedding_space job run source_registry chunk chunk_version embedding embedding_canary embedding_failure"
    " embedding_sketch embedding_sketch_mean embedding_sketch_recall retrieval retrieval_hit"
    " space_publication evaluation_interval erasure embedding_state embedding_pending embedding_current"
    " space_status search_setting"
).split()


def assert_t_sql(connection: pyodbc.Connection, for_sqlglot: Callable[[str], str] = str) -> None:
    """What was sent breaks no rule and is T-SQL to both parsers, each statement once. `for_sqlglot` words one as that
    parser knows it."""
    for sql in {call["sql"] for call in connection.calls if "sql" in call}:
        assert violations(sql) == []
        assert sqlglot_complaints(for_sqlglot(sql)) == []
        assert sqlfluff_complaints(sql.replace("?", "@p")) == []
