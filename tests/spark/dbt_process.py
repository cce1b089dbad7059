"""Runs dbt, and reads tables, in one process for all that asks: Java has compiled by the second run what the first
one waited for. A line of JSON in, {"dbt": arguments}, {"tables": {name: columns}} or {"view": name, "sql": select,
"rows": rows, "columns": columns} for a view over `given`, these rows; a line out that begins with ANSWER."""

import json
import sys
from typing import Any


def main() -> None:
    """Answers until its input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        answer = _dbt(asked["dbt"]) if "dbt" in asked else _view(**asked) if "view" in asked else _rows(asked["tables"])
        print(f"\nANSWER {json.dumps(answer)}", flush=True)


def _dbt(arguments: list[str]) -> dict[str, Any]:
    from dbt.cli.main import dbtRunner

    messages: list[str] = []
    done = dbtRunner(callbacks=[lambda event: messages.append(event.info.msg)]).invoke(
        ["--log-level", "none", *arguments]
    )
    return {"success": done.success, "output": "\n".join([*messages, str(done.exception or "")])}


def _view(view: str, sql: str, rows: list[list[Any]], columns: str) -> None:
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    table = f"vector.{view}_given"
    session.createDataFrame([tuple(row) for row in rows], columns).writeTo(table).using("iceberg").createOrReplace()
    session.sql(f"create or replace view vector.{view} as {sql.format(given=table)}")


def _rows(tables: dict[str, str]) -> dict[str, list[list[Any]]]:
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()  # dbt's
    return {
        name: [list(row) for row in session.sql(f"select {columns} from vector.{name}").collect()]
        for name, columns in tables.items()
    }


if __name__ == "__main__":
    main()
