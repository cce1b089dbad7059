"""A session with a SQL Server that records what it is sent and answers as a test says."""

import re

from tsql.driver import pyodbc

HOSTILE = "'; drop table chunk; -- 日本"


SPACE = "00000000-0000-0000-0000-000000000001"


class Server:
    """Answers by the first pattern that a statement has; an exception among the answers is raised."""

    def __init__(self):
        self.answers = [
            (r"select @@trancount", [(0,)]),
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
    "embedding_space job run source_registry chunk chunk_version embedding embedding_canary embedding_failure retrieval"
    " retrieval_hit space_publication evaluation_interval embedding_state embedding_pending embedding_current"
    " space_status search_setting"
).split()
