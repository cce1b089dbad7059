"""What our T-SQL must not say. Each rule finds one kind of violation in the tokens of a statement.

The parsers let much of this through: sqlglot reads most dialects as one, and neither knows what SQL Server 2019 lacks,
what a view may not hold, or what only works in a database of another collation.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from tsql.tokens import Token, tokens

Rule = Callable[[Sequence[Token]], Iterator[str]]

# Reserved at compatibility level 160: Microsoft's list, and WINDOW, which 160 adds.
RESERVED = frozenset(
    """
    add all alter and any as asc authorization backup begin between break browse bulk by cascade case check checkpoint
    close clustered coalesce collate column commit compute constraint contains containstable continue convert create
    cross current current_date current_time current_timestamp current_user cursor database dbcc deallocate declare
    default delete deny desc disk distinct distributed double drop dump else end errlvl escape except exec execute
    exists exit external fetch file fillfactor for foreign freetext freetexttable from full function goto grant group
    having holdlock identity identity_insert identitycol if in index inner insert intersect into is join key kill left
    like lineno load merge national nocheck nonclustered not null nullif of off offsets on open opendatasource
    openquery openrowset openxml option or order outer over percent pivot plan precision primary print proc procedure
    public raiserror read readtext reconfigure references replication restore restrict return revert revoke right
    rollback rowcount rowguidcol rule save schema securityaudit select semantickeyphrasetable
    semanticsimilaritydetailstable semanticsimilaritytable session_user set setuser shutdown some statistics
    system_user table tablesample textsize then to top tran transaction trigger truncate try_convert tsequal union
    unique unpivot update updatetext use user values varying view waitfor when where while window with within writetext
    """.split()
)
# Those that our statements use for what they are reserved for. Any other reserved word can only be a name gone wrong.
KEYWORDS = frozenset(
    """
    add all alter and as asc begin between by case check clustered coalesce collate constraint convert create cross
    declare default delete desc distinct drop else end exec exists fetch foreign from full grant group having holdlock
    if in index inner insert intersect into is join left like nonclustered not null nullif on or order outer over
    primary references right select set table then to top try_convert union unique update values view when where
    with within
    """.split()
)

FORBIDDEN_WORDS = {
    "merge": "MERGE",
    "truncate": "TRUNCATE",
    "limit": "LIMIT",
    "ilike": "ILIKE",
    "true": "a boolean literal",
    "false": "a boolean literal",
    "lateral": "LATERAL",
    "unnest": "UNNEST",
    "qualify": "QUALIFY",
    "lambda": "a lambda",
    "exclude": "EXCLUDE",
    "boolean": "the type boolean",
    "interval": "INTERVAL",
}
# Of DuckDB, or of SQL Server 2022 and later only.
FORBIDDEN_FUNCTIONS = re.compile(
    r"(list|struct|array|map|regexp|epoch|make|json_extract|json_each|json_valid)(_\w+)?"
    r"|range|generate_series|length|strlen|substr|chr|ord|contains|starts_with|string_split_regex|sha256|md5|now"
    r"|strftime|strptime|date_trunc|datetrunc|date_diff|date_part|date_bucket|isfinite|len_utf8|position|printf|ifnull"
    r"|try|any_value|arg_max|arg_min|first|last|greatest|least|json_object|json_array|json_path_exists|bit_count"
    r"|get_bit|left_shift|right_shift|approx_count_distinct_hll"
)
FORBIDDEN_SYMBOLS = {
    "::": "a cast by ::",
    "||": "a concatenation by ||",
    "//": "a division by //",
    "->": "->",
    "->>": "->>",
}


def violations(sql: str) -> list[str]:
    """What is wrong with a statement of ours, each with the place where it is; empty when nothing is."""
    found = tokens(sql)
    return [problem for rule in RULES for problem in rule(found)]


def view_violations(sql: str) -> list[str]:
    """What is wrong with a query that dbt-sqlserver makes a view of: a model's, a test's."""
    found = tokens(sql)
    return [problem for rule in (*RULES, *VIEW_RULES) for problem in rule(found)]


def forbidden_words(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.kind == "word" and token.lower in FORBIDDEN_WORDS:
            yield _at(found, i, FORBIDDEN_WORDS[token.lower])


def forbidden_symbols(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.kind == "symbol" and token.text in FORBIDDEN_SYMBOLS:
            yield _at(found, i, FORBIDDEN_SYMBOLS[token.text])


def forbidden_functions(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        # A table's list of columns looks like a call: `as range (n)`.
        if _is_call(found, i) and not _word(found, i - 1, "as") and FORBIDDEN_FUNCTIONS.fullmatch(token.lower):
            yield _at(found, i, f"the function {token.lower}, which SQL Server 2019 lacks")


def string_split_with_ordinal(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.lower == "string_split" and _is_call(found, i) and len(_arguments(found, i + 1)) > 2:
            yield _at(found, i, "STRING_SPLIT with an ordinal, which SQL Server 2019 lacks")


def null_safe_comparison(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.lower == "is" and (_word(found, i + 1, "distinct") or _word(found, i + 2, "distinct")):
            yield _at(found, i, "IS DISTINCT FROM, which SQL Server 2019 lacks")


def create_or(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.lower == "create" and _word(found, i + 1, "or"):
            yield _at(found, i, f"CREATE OR {found[i + 2].text.upper()}")


def duckdb_ddl(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.lower in ("table", "schema") and _word(found, i + 1, "if") and _word(found, i + 2, "not"):
            yield _at(found, i, "IF NOT EXISTS inside CREATE")
        if token.lower == "add" and _word(found, i + 1, "column"):
            yield _at(found, i, "ADD COLUMN (T-SQL says ADD)")
        if token.lower == "by" and _word(found, i + 1, "all"):
            yield _at(found, i, "BY ALL")


def unguarded_len(found: Sequence[Token]) -> Iterator[str]:
    """LEN drops trailing blanks and counts UTF-16 units: only `char_count` may use it, with its sentinel."""
    for i, token in enumerate(found):
        if token.lower != "len" or not _is_call(found, i):
            continue
        close = _close(found, i + 1)
        inside = [t.lower for t in found[i + 2 : close]]
        after = [t.text for t in found[close + 1 : close + 3]]
        if (
            inside[-5:-2] != ["+", "n'.'", ")"]
            or inside[-2] != "collate"
            or "_sc" not in inside[-1]
            or after != ["-", "1"]
        ):
            yield _at(found, i, "LEN without the sentinel of char_count")


def hash_of_utf16(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.lower != "hashbytes" or not _is_call(found, i):
            continue
        if not any(t.lower.endswith("_utf8") for t in found[i : _close(found, i + 1)]):
            yield _at(found, i, "HASHBYTES of a text that is not UTF-8")


def collation_in_a_cast(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.lower in ("cast", "try_cast") and _is_call(found, i):
            close = _close(found, i + 1)
            types = [j for j in range(i, close) if found[j].lower == "as" and found[j].depth == token.depth + 1]
            if types and any(t.lower == "collate" for t in found[types[-1] : close]):
                yield _at(found, i, "a collation inside a cast (it follows the cast)")


def key_without_collation(found: Sequence[Token]) -> Iterator[str]:
    """OPENJSON's key has a collation of its own, which conflicts with every other."""
    for i, token in enumerate(found):
        if token.text.lower() == "[key]" and not _word(found, i + 1, "collate"):
            yield _at(found, i, "OPENJSON's key without a collation")


# The greatest length, scale or precision of a type. CHAR and NCHAR are functions too, and no column's type here.
LONGEST = {
    "varchar": 8000, "binary": 8000, "varbinary": 8000, "nvarchar": 4000,
    "datetime2": 7, "datetimeoffset": 7, "time": 7, "decimal": 38, "numeric": 38, "float": 53,
}  # fmt: skip


def type_too_long(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        size = _text(found, i + 2) if _text(found, i + 1) == "(" else ""
        if token.lower in LONGEST and size.isdigit() and not 0 <= int(size) <= LONGEST[token.lower]:
            yield _at(found, i, f"the type {token.lower}({size}): {LONGEST[token.lower]} is the most")


def nested_cte(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.lower == "with" and i and found[i - 1].text == "(":
            yield _at(found, i, "a CTE inside a subquery")


SESSION_OPTIONS = frozenset(
    """
    ansi_defaults ansi_nulls ansi_padding ansi_warnings arithabort concat_null_yields_null context_info datefirst
    dateformat deadlock_priority implicit_transactions language lock_timeout nocount noexec nonumeric_roundabort
    numeric_roundabort parseonly quoted_identifier rowcount showplan_all statistics textsize transaction xact_abort
    """.split()
)


def session_option(found: Sequence[Token]) -> Iterator[str]:
    """A SET option may outlive its statement: under NOCOUNT no row is counted any more."""
    for i, token in enumerate(found):
        if token.lower == "set" and _text(found, i + 1).lower() in SESSION_OPTIONS and _text(found, i + 2) != "=":
            yield _at(found, i, f"the SET option {found[i + 1].text}, which may outlive its statement")


def upper_case(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.kind in ("word", "quoted") and token.name != token.name.lower() and not _word(found, i - 1, "collate"):
            yield _at(found, i, f"the upper-case name or keyword {token.text}")


def text_beyond_ascii(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        if token.kind == "text" and not token.text.isascii() and token.text[0] not in "nN":
            yield _at(found, i, "a text beyond ASCII that is not N''")


def reserved_names(found: Sequence[Token]) -> Iterator[str]:
    for i, token in enumerate(found):
        word = token.lower
        if token.kind != "word" or word not in RESERVED or word in FORBIDDEN_WORDS:
            continue
        if word == "key" and i and found[i - 1].lower in ("primary", "foreign"):
            continue
        if word == "for" and i and found[i - 1].text == ")":  # add constraint ... default (...) for <column>
            continue
        before, after = _text(found, i - 1).lower(), _text(found, i + 1).lower()
        if ("double", "precision") in ((before, word), (word, after)):  # a type
            continue
        starts_query = word in ("select", "with")
        named = (_word(found, i - 1, "as") and not starts_query) or "." in (_text(found, i - 1), _text(found, i + 1))
        if word not in KEYWORDS or named:
            yield _at(found, i, f"the reserved word {word} as a name")


def order_without_top(found: Sequence[Token]) -> Iterator[str]:
    """A view, a derived table or a CTE may be ordered only with TOP or OFFSET."""
    for i, token in enumerate(found):
        if token.lower != "order" or not _word(found, i + 1, "by"):
            continue
        start = next((j for j in range(i, -1, -1) if found[j].text == "(" and found[j].depth < token.depth), -1)
        if start > 0 and found[start - 1].lower in ("over", "group"):
            continue
        around = [t.lower for t in found[start + 1 : _end(found, start)] if t.depth == token.depth]
        if "top" not in around and "offset" not in around:
            yield _at(found, i, "ORDER BY without TOP")


def beyond_ascii(found: Sequence[Token]) -> Iterator[str]:
    """dbt-sqlserver sends a view inside EXEC(''), a literal in the database's code page: N'' within it is too late."""
    for i, token in enumerate(found):
        if not token.text.isascii():
            yield _at(found, i, "a character beyond ASCII in a view")


RULES: tuple[Rule, ...] = (
    forbidden_words, forbidden_symbols, forbidden_functions, string_split_with_ordinal, null_safe_comparison, create_or,
    duckdb_ddl, unguarded_len, hash_of_utf16, collation_in_a_cast, key_without_collation, type_too_long, nested_cte,
    session_option, upper_case, text_beyond_ascii, reserved_names,
)  # fmt: skip
VIEW_RULES: tuple[Rule, ...] = (order_without_top, beyond_ascii)


def _at(found: Sequence[Token], i: int, problem: str) -> str:
    return f"{problem}: ... {' '.join(token.text for token in found[max(i - 4, 0) : i + 6])} ..."


def _text(found: Sequence[Token], i: int) -> str:
    return found[i].text if 0 <= i < len(found) else ""


def _word(found: Sequence[Token], i: int, word: str) -> bool:
    return _text(found, i).lower() == word


def _is_call(found: Sequence[Token], i: int) -> bool:
    return found[i].kind == "word" and _text(found, i + 1) == "("


def _close(found: Sequence[Token], i: int) -> int:
    """Where the parenthesis that opens at i closes."""
    return next((j for j in range(i + 1, len(found)) if found[j].depth == found[i].depth), len(found))


def _end(found: Sequence[Token], start: int) -> int:
    return _close(found, start) if start >= 0 else len(found)


def _arguments(found: Sequence[Token], i: int) -> list[int]:
    """Where the arguments of the call whose parenthesis opens at i begin."""
    inside = range(i + 1, _close(found, i))
    return [i + 1, *(j + 1 for j in inside if found[j].text == "," and found[j].depth == found[i].depth + 1)]
