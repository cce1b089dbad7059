"""Whether a text is T-SQL, by two parsers that do not know of each other."""

import logging
from functools import cache

import sqlglot
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp

# sqlglot warns of what it keeps as it is; here that is a finding, not a message.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


def sqlglot_complaints(sql: str) -> list[str]:
    """Why sqlglot does not read the statements; empty when it does."""
    return [*_sqlglot_complaints(sql)]


def sqlfluff_complaints(sql: str) -> list[str]:
    """Why sqlfluff does not read the statements; empty when it does."""
    return [*_sqlfluff_complaints(sql)]


# Cached, since many tests send the same statements.


@cache
def _sqlglot_complaints(sql: str) -> list[str]:
    try:
        statements = sqlglot.parse(sql, dialect="tsql")
    except sqlglot.errors.SqlglotError as error:
        return [f"sqlglot: {str(error)[:400]}"]
    return [
        f"sqlglot does not know this statement: {str(statement)[:200]}"
        for statement in statements
        if isinstance(statement, exp.Command)
    ]


@cache
def _sqlfluff_complaints(sql: str) -> list[str]:
    return [f"sqlfluff: {str(violation)[:400]}" for violation in _linter().parse_string(sql).violations]


@cache
def _linter() -> Linter:
    return Linter(config=FluffConfig(overrides={"dialect": "tsql", "templater": "raw"}))
