"""What a SQL Server would answer to dbt, as far as dbt goes by the answer."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from tsql.driver.pyodbc import Answer

_SCHEMA = re.compile(r"schema_id\('(\w+)'\)")
_NAME = re.compile(r"t\.name = '(\w+)'")
_OBJECT = re.compile(r"object_id\(n?'(?:[^']*[.])?\"(\w+)\"'", re.IGNORECASE)
_RENAMED = re.compile(r"sp_rename N'[^']*', N'(\w+)'")
_UNIT_TEST = re.compile(r'"node_id": "unit_test\.\w+\.(\w+)\.')
_MODEL = re.compile(r'"node_id": "model\.\w+\.(\w+)"')
_LEDGER = re.compile(r'left join (?:"\w+"\.)?"\w+"\."(\w+)" as ledger')

# Tables that took another one's name: known to every connection of the process.
_replaced: set[str] = set()


@dataclass
class CannedServer:
    """A server that has these relations and changes, and finds nothing wrong."""

    # {schema: {relation: "table" or "view"}}
    relations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # {relation: [(column, type, length in characters, scale)]}, -1 for max
    columns: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)
    # {ledger: [(kind, name, detail, "yes" or "no")]}: what the catalogue says of its columns, defaults and constraints
    shapes: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)
    # {ledger: (rows to write, how many of them change one that is there)}
    changes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    # keys of spaces with pending chunks, or types of pending sources
    pending: Sequence[str] = ()
    # as `shapes`, for a ledger whose table has been replaced since
    rebuilt_shapes: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Keeps the answers for the process of dbt."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def from_json(cls, path: str) -> "CannedServer":
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))

    def answer(self, sql: str, parameters: Sequence[Any]) -> Answer:
        text = sql.lower()
        if "as pending order by pending.space_key" in text:
            return Answer(("space_key",), [(key,) for key in self.pending])
        if "pending.source_type, count(*) as source_count" in text:
            return Answer(("source_type", "source_count"), [(source_type, 2) for source_type in self.pending])
        if "union all" in text and "from sys.views" in text:
            return self._list_relations(sql)
        if "character_maximum_length" in text:
            # A unit test makes a table of its own, like the model's.
            name = _found(_OBJECT, sql)
            columns = self.columns.get(_found(_UNIT_TEST, sql) if name.endswith("__dbt_tmp") else name, ())
            rows = [(name, type, length, 0, scale) for name, type, length, scale in columns]
            return Answer(
                ("column_name", "data_type", "character_maximum_length", "numeric_precision", "numeric_scale"), rows
            )
        if "exec sp_rename" in text:
            _replaced.add(_found(_RENAMED, sql))
        if "'column' as kind" in text:
            name = _found(_OBJECT, sql)
            rows = (self.rebuilt_shapes if name in _replaced else self.shapes).get(name, ())
            return Answer(("kind", "name", "detail", "nullable"), list(map(tuple, rows)))
        if "create table #vector_ledger_shape" in text:
            return Answer(
                ("definition",), [(check,) for check in re.findall(r"^\s*check (\(.*\)),?$", sql, re.MULTILINE)]
            )
        if "create table #vector_ledger_default" in text:
            return Answer(("number", "worded"), re.findall(r"^\s*c(\d+) .* default (\(.*\)),?$", sql, re.MULTILINE))
        if "from sys.database_permissions" in text:
            name = _found(_OBJECT, sql)
            return Answer(("statement",), [(f'grant insert on "vector"."{name}" to [vector_embedder]',)])
        if "as before_count" in text:
            return Answer(("before_count", "after_count", "lost_count"), [(3, 3, 0)])
        if "as example" in text:
            return Answer(("row_count", "example"), [(0, None)])
        if "sp_describe_first_result_set" in text:
            return Answer(("name",), [(column[0],) for column in self.columns.get(_found(_UNIT_TEST, sql), ())])
        if "dm_exec_describe_first_result_set" in text:
            # The columns of a model with a contract, which are those of the native build.
            columns = self.columns.get(_found(_MODEL, sql) or _found(_UNIT_TEST, sql), ())
            return Answer(
                ("is_hidden", "name", "system_type_name", "error_number", "error_message"),
                [(False, name, type, None, None) for name, type, _, _ in columns],
            )
        if "dbt_sbq_tmp" in text:
            return _contract_columns(sql[text.index("select * from (") : text.index("dbt_sbq_tmp")])
        if "select top 0 * from (" in text:
            return Answer(_selected_names(sql[text.index("select top 0") :]))
        if "as total_count" in text:
            counts = tuple(self.changes.get(_found(_LEDGER, sql), (0, 0)))
            return Answer(("total_count", "updated_count", "unfit_value"), [(*counts, None)])
        if "'actual' as" in text:
            # No row is as expected: equal to no row.
            selected = text[text.rindex("union all") : text.rindex("'expected' as")]
            return Answer([*dict.fromkeys(re.findall(r'"(\w+)"', selected)), "actual_or_expected"])
        if "as retrieval_count" in text:
            return Answer(("retrieval_count", "hit_count"), [(2, 9)])
        if "as last_id" in text:
            return Answer(("last_id",), [("5f",), ("f0",)])
        if "as should_warn" in text:
            return Answer(("failures", "should_warn", "should_error"), [(0, "false", "false")])
        if "from sys.schemas" in text and "select  name as [schema]" in text:
            return Answer(("schema",), [(name,) for name in self.relations])
        return Answer()

    def _list_relations(self, sql: str) -> Answer:
        schema, name = _found(_SCHEMA, sql), _found(_NAME, sql)
        held = self.relations.get(schema, {})
        rows = [("analytics", relation, schema, kind) for relation, kind in held.items() if name in ("", relation)]
        return Answer(("database", "name", "schema", "table_type"), rows)


def _contract_columns(sql: str) -> Answer:
    """A row of nothing, of the types that the contract casts its columns to."""
    casts = re.findall(r"cast\(null as ([\w ]+?)(?:\([\w,]+\))?\)\s+as (\w+)", sql, re.IGNORECASE)
    values = {
        "int": 0, "bit": False, "float": 0.0, "double precision": 0.0, "datetime2": datetime.min,
        "varchar": "", "nvarchar": "", "text": "",
    }  # fmt: skip
    return Answer([name for _, name in casts], [tuple(values[type.lower()] for type, _ in casts)])


def _found(pattern: re.Pattern, sql: str) -> str:
    match = pattern.search(sql)
    return match.group(1) if match else ""


def _selected_names(sql: str) -> list[str]:
    """The names of a query's columns; those of a star are its subquery's."""
    query = sqlglot.parse_one(re.sub(r"option \(label.*", "", sql, flags=re.IGNORECASE | re.DOTALL), dialect="tsql")
    while isinstance(query, exp.Select) and query.is_star:
        query = query.find(exp.Subquery).this
    return query.named_selects
