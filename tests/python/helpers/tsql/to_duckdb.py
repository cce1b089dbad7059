"""T-SQL run on DuckDB: sqlglot translates what the dialects word differently, and what follows gives DuckDB T-SQL's
meaning where the same word means another thing there.

OPENJSON gives a number as it is written. A text is UTF-16 in SQL Server. Under a collation whose name has no SC, as
our BIN2, positions and lengths count its units, and those of an astral character are two; under an SC collation they
count code points, as DuckDB does. NVARCHAR is equal to itself with blanks after it. A FLOAT as text keeps six digits.
"""

import re

import duckdb
import sqlglot
from sqlglot import exp

MACROS = r"""
    create macro tsql_len(x) as length(rtrim(x, ' '));
    create macro tsql_units(x) as
        case when strlen(x) = length(x) then length(x)
        else length(x) + len(list_filter(string_split(x, ''), lambda c: strlen(c) = 4)) end;
    create macro tsql_charindex(needle, x) as
        case when strpos(x, needle) = 0 then 0 else tsql_units(left(x, strpos(x, needle) - 1)) + 1 end;
    create macro tsql_patindex(pattern, x) as
        case when regexp_matches(x, pattern, 's')
        then tsql_units(left(x, strpos(x, regexp_extract(x, pattern, 0, 's')) - 1)) + 1 else 0 end;
    create macro tsql_text(x) as
        case when typeof(x) in ('DOUBLE', 'FLOAT') then format('{:.6g}', try_cast(cast(x as varchar) as double))
        else cast(x as varchar) end;
    create macro tsql_reverse(x) as
        array_to_string(list_reverse(string_split(x, '')), '');
    create macro tsql_datetimeoffset(x) as
        case when try_cast(x as timestamptz) between timestamptz '0001-01-01 00:00:00+00'
            and timestamptz '9999-12-31 23:59:59.999999+00'
            -- An offset is 14 hours at the most ("datetimeoffset (Transact-SQL)").
            and not regexp_matches(
                cast(x as varchar), ':\d\d(\.\d+)? ?[+-](1[5-9]|[2-9]\d|14:?(0[1-9]|[1-5]\d)|\d\d:?[6-9]\d)')
        then try_cast(x as timestamptz) end;
    create macro tsql_escape(x) as
        '\u00' || case when x < chr(16) then '0' else '1' end || '0123456789abcdef'[unicode(x) % 16 + 1];
    create macro string_escape(x, kind) as array_to_string(list_transform(string_split(x, ''), lambda c:
        case when c in ('"', '\', '/') then '\' || c
        when c < ' ' then coalesce(
            '\' || nullif(translate(c, chr(8) || chr(9) || chr(10) || chr(12) || chr(13), 'btnfr'), c), tsql_escape(c))
        else c end), '');
    create macro tsql_isjson(x) as case when json_valid(x) then json_type(x) in ('OBJECT', 'ARRAY') else false end;
    create macro tsql_json(x) as array_to_string(list_transform(
        regexp_extract_all(x, '(?s)"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|.'),
        lambda token: case when regexp_matches(token, '^[-0-9]') then '"\uf8ff' || token || '"' else token end), '');
    -- How many whole characters the first 0, 1, 2 ... units hold.
    create macro tsql_points(x) as list_concat([0], flatten(list_transform(
        range(1, length(x) + 1), lambda i: case when strlen(x[i]) = 4 then [i - 1, i] else [i] end)));
    -- Of no more units than there are. A subquery, which may be in no lambda and is slow to plan, stands there once.
    create macro tsql_left(x, units) as left(x, tsql_points(x)[units + 1]);
"""


def teach(connection: duckdb.DuckDBPyConnection) -> None:
    """Gives a connection the functions that the translations use. What has no offset is UTC, as in T-SQL."""
    connection.execute("set timezone = 'UTC'")
    for statement in MACROS.split(";\n"):
        connection.execute(statement)


def to_duckdb(sql: str, catalog: str) -> str:
    """A T-SQL query in DuckDB's words. Raises ValueError for what has no translation here."""
    query = sqlglot.parse_one(sql, dialect="tsql")
    # Collations go last: what a function counts depends on them.
    for change in (_number_series, _json_rows, _functions, _plain_types, _equality, _division, _without_collation):
        # From the leaves up, so that what is inside a replaced expression is replaced too.
        for node in reversed(list(query.walk())):
            changed = change(node)
            if changed is not node:
                node.replace(changed)
    for table in query.find_all(exp.Table):
        if table.catalog:
            table.set("catalog", exp.to_identifier(catalog, quoted=True))
    return query.sql(dialect="duckdb")


def _call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _collation(node: exp.Expression | None) -> str:
    """The collation that an expression is given, if it is given one."""
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    return node.expression.name.lower() if isinstance(node, exp.Collate) else ""


def _number_series(node: exp.Expression) -> exp.Expression:
    """CROSS APPLY of the first n of a million numbers: a range of n. One that reads JSON is a lateral join as it is."""
    if isinstance(node, exp.Lateral) and node.args.get("cross_apply") and not isinstance(node.this, exp.OpenJSON):
        if node.find(exp.OpenJSON):
            return exp.Lateral(this=node.this, alias=node.args["alias"])
        top = node.find(exp.Limit)
        if top is None:
            raise ValueError(f"no number series: {node.sql('tsql')[:200]}")
        numbers = sqlglot.parse_one("select unnest(range(cast(0 as bigint))) as n", dialect="duckdb")
        numbers.find(exp.Cast).set("this", top.expression.copy())
        return exp.Lateral(this=numbers.subquery(), alias=node.args["alias"])
    if isinstance(node, exp.Join) and isinstance(node.this, exp.Lateral):
        node.set("kind", "CROSS")
    return node


# tsql_json makes a string of each number, so that it stays as it is written, with this character before it.
_TEXT = "ltrim(value ->> {path}, '\uf8ff')"
_JSON_TYPES = """
    case type when 'NULL' then 0 when 'BOOLEAN' then 3 when 'ARRAY' then 4 when 'OBJECT' then 5
    else case when starts_with(value ->> '$', '\uf8ff') then 2 else 1 end end
"""


def _json_rows(node: exp.Expression) -> exp.Expression:
    """OPENJSON: a row for each member or element, in the columns of its own, or in those that WITH names."""
    if not (isinstance(node, exp.Table | exp.Lateral) and isinstance(node.this, exp.OpenJSON)):
        return node
    columns = []
    for column in node.this.expressions:
        path = column.args["path"].sql("duckdb")
        # A WITH column is for a value: of an object or an array it is null.
        is_value = f"json_type(value, {path}) not in ('OBJECT', 'ARRAY')"
        columns.append(f"case when {is_value} then {_TEXT.format(path=path)} end as {column.name}")
    value = _TEXT.format(path="'$'")
    selected = ", ".join(columns) or f"key, {value} as value, {_JSON_TYPES} as type"
    rows = sqlglot.parse_one(f"select {selected} from json_each(null)", dialect="duckdb")
    call = next(function for function in rows.find_all(exp.Anonymous) if function.name.lower() == "json_each")
    call.set("expressions", [_call("tsql_json", node.this.this.copy())])
    if isinstance(node, exp.Lateral):
        return exp.Lateral(this=rows.subquery(), alias=node.args["alias"])
    return rows.subquery(node.alias or "json_row")


def _functions(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.Length):
        if "_sc" not in _collation(node.this):
            raise ValueError(f"LEN that counts UTF-16 units: {node.sql('tsql')[:200]}")
        return _call("tsql_len", node.this)
    if isinstance(node, exp.Substring) and node.this.find(exp.Collate) and "_sc" not in _collation(node.this):
        raise ValueError(f"SUBSTRING that counts UTF-16 units: {node.sql('tsql')[:200]}")
    name = node.name.lower() if isinstance(node, exp.Anonymous) else type(node).__name__.lower()
    if name in ("datalength", "bytelength"):
        value = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
        # Of VARCHAR, UTF-8 or ASCII, it is one byte a unit; of NVARCHAR two.
        if isinstance(value, exp.Cast) and value.to.this == exp.DataType.Type.VARCHAR:
            return _call("strlen", value)
        return exp.Paren(this=exp.Mul(this=exp.Literal.number(2), expression=_call("tsql_units", value)))
    if isinstance(node, exp.StrPosition):
        return _call("tsql_charindex", node.args["substr"], node.this)
    if isinstance(node, exp.Left):
        return _call("tsql_left", node.this, node.expression)
    if name == "reverse":
        return _call("tsql_reverse", node.expressions[0] if isinstance(node, exp.Anonymous) else node.this)
    if isinstance(node, exp.Like) and "[" in (like := _constant(node.expression)):
        # Its classes are a regular expression's.
        pattern = like.replace("%", ".*").replace("_", ".")
        matches = _call("regexp_full_match", node.this, exp.Literal.string(pattern), exp.Literal.string("s"))
        return exp.Not(this=matches) if node.args.get("negate") else matches
    if name == "patindex":
        return _patindex(*node.expressions)
    if isinstance(node, exp.TryCast) and str(node.to.this).upper().endswith("TIMESTAMPTZ"):
        return _call("tsql_datetimeoffset", node.this)
    if name == "switchoffset":
        return _call("make_timestamp", _call("epoch_us", node.expressions[0]))
    if isinstance(node, exp.Chr):
        return _call("chr", *node.expressions)
    if name in ("nchar", "char"):
        return _call("chr", *node.expressions)
    if name == "isjson":
        return _call("tsql_isjson", *node.expressions)
    if name == "json_modify":
        return _without_key(*node.expressions)
    if name == "sysutcdatetime":
        return sqlglot.parse_one("cast(now() as timestamp)", dialect="duckdb")
    hashed = node.find(exp.SHA2, exp.SHA2Digest) if isinstance(node, exp.Lower) else None
    if hashed is not None:
        if not _collation(hashed.this).endswith("_utf8"):
            raise ValueError(f"a hash of UTF-16: {node.sql('tsql')[:200]}")
        return _call("sha256", hashed.this)
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Convert):
        # Binary by style 2 is hex digits, and of binary an integer is big-endian.
        if node.this.args["style"].name != "2" or node.this.this.this != exp.DataType.Type.VARBINARY:
            raise ValueError(f"CONVERT to other than binary from hex: {node.sql('tsql')[:200]}")
        digits = _call("concat", exp.Literal.string("0x"), node.this.expression)
        return exp.Cast(this=digits, to=node.to)
    if isinstance(node, exp.Cast) and node.to.this in (exp.DataType.Type.VARBINARY, exp.DataType.Type.BINARY):
        return _call("encode", node.this)
    if isinstance(node, exp.Add) and any(isinstance(side, exp.National) for side in (node.left, node.right)):
        return exp.DPipe(this=node.this, expression=node.expression, safe=True)
    return node


def _constant(node: exp.Expression) -> str:
    """The text of a literal, or of what joins, repeats and makes characters of literals; empty for anything else."""
    if isinstance(node, exp.Literal | exp.National):
        return node.name
    if isinstance(node, exp.Concat):
        return "".join(map(_constant, node.expressions))
    if isinstance(node, exp.Repeat):
        return _constant(node.this) * int(node.args["times"].name)
    if isinstance(node, exp.Anonymous) and node.name.lower() == "chr":
        return chr(int(node.expressions[0].name))
    return ""


def _patindex(pattern: exp.Expression, text: exp.Expression) -> exp.Expression:
    """PATINDEX of one class of characters after the other, found anywhere: the first place, in units under BIN2. What
    is found holds all that the pattern asks for, so it cannot be in the text before it matches."""
    if _collation(text) != "latin1_general_100_bin2":
        raise ValueError(f"PATINDEX of another collation than BIN2: {text.sql('tsql')[:200]}")
    like = _constant(pattern)
    inside = like.removeprefix("%").removesuffix("%")
    if like != f"%{inside}%" or not re.fullmatch(r"(\[[^\]]+\]|[^%_\[])+", inside, re.DOTALL):
        raise ValueError(f"PATINDEX of another pattern than classes: {like!r}")
    return _call("tsql_patindex", exp.Literal.string(inside), text)


def _without_key(json: exp.Expression, path: exp.Expression, value: exp.Expression) -> exp.Expression:
    """JSON_MODIFY to null, which deletes the key."""
    if not isinstance(value, exp.Null) or not path.name.startswith("$."):
        raise ValueError(f"JSON_MODIFY other than of a key to null: {path.name}, {value.sql('tsql')[:200]}")
    patch = exp.Literal.string(f'{{"{path.name[2:]}":null}}')
    patched = exp.Cast(this=_call("json_merge_patch", json, patch), to=exp.DataType.build("varchar"))
    return exp.Case().when(exp.Not(this=exp.Is(this=json.copy(), expression=exp.null())), patched)


def _plain_types(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.National):
        return exp.Literal.string(node.name)
    if type(node) is exp.Cast and node.to.this in exp.DataType.TEXT_TYPES:
        return _call("tsql_text", node.this)
    if isinstance(node, exp.DataType) and node.this in exp.DataType.TEXT_TYPES:
        return exp.DataType.build("varchar", dialect="duckdb")
    # sqlglot reads FLOAT and REAL alike; of FLOAT(53) it keeps the 53.
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.FLOAT and node.expressions:
        return exp.DataType.build("double", dialect="duckdb")
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.BIT:
        return exp.DataType.build("boolean", dialect="duckdb")
    if isinstance(node, exp.DataType) and str(node.this).upper().endswith(("DATETIME2", "DATETIME")):
        return exp.DataType.build("timestamp", dialect="duckdb")
    return node


def _without_collation(node: exp.Expression) -> exp.Expression:
    return node.this if isinstance(node, exp.Collate) else node


def _equality(node: exp.Expression) -> exp.Expression:
    """A text is equal to itself with blanks after it."""
    if isinstance(node, exp.EQ | exp.NEQ) and any(side.is_string for side in (node.left, node.right)):
        for part in ("this", "expression"):
            node.set(part, _call("rtrim", node.args[part], exp.Literal.string(" ")))
    return node


def _division(node: exp.Expression) -> exp.Expression:
    """Of integers it is cut to an integer, wherever no literal says that they are none."""
    if isinstance(node, exp.Div) and not any("." in literal.name for literal in node.left.find_all(exp.Literal)):
        return exp.IntDiv(this=node.this, expression=node.expression)
    return node
