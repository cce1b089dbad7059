"""dbt on Spark makes what it makes on DuckDB: the same ids, hashes, texts and states, twice."""

import csv
import json
import subprocess
import sys

import duckdb
from conftest import Lake

_TABLES = {
    "chunk": "chunk_id, source_id, source_type, source_ref_json, offsets_json, content, context, content_sha256,"
    " byte_count, policy_json, managed_by, case when retired_utc is null then 0 else 1 end as retired",
    "chunk_version": "chunk_id, content_sha256, content",
    "source_registry": "source_id, source_type, source_ref_json, title, content_sha256, char_count, policy_version,"
    " chunk_count, tags_json, status, error_message, case when retired_utc is null then 0 else 1 end as retired",
    "embedding_space": "embedding_space_id, space_key",
}  # fmt: skip

_READ = """
import json, sys
from dbt.adapters.spark.session import Connection
import os, yaml, jinja2
text = jinja2.Environment()
text.filters["as_number"] = text.filters["as_bool"] = lambda value: value
profile = yaml.safe_load(text.from_string(open("profiles.yml").read()).render(
    env_var=lambda name, default="": os.environ.get(name, default)))
cursor = Connection(
    server_side_parameters=profile["vector_runtime"]["outputs"]["spark"]["server_side_parameters"]).cursor()
found = {}
for table, columns in json.loads(sys.argv[1]).items():
    cursor.execute(f"select {columns} from vector.{table}")
    found[table] = [list(row) for row in cursor.fetchall()]
print("FOUND" + json.dumps(found))
"""


def _of_spark(lake: Lake) -> dict:
    done = lake.python("-c", _READ, json.dumps(_TABLES))
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert lines, done.stderr
    return {table: sorted(rows, key=str) for table, rows in json.loads(lines[0][5:]).items()}


def _build_duckdb(lake: Lake) -> dict:
    env = {**lake.env, "VECTOR_TARGET": "duckdb", "VECTOR_DUCKDB_PATH": str(lake.folder / "warehouse.duckdb")}
    command = [sys.executable, "-m", "dbt.cli.main", "build", "--target-path", str(lake.folder / "duckdb"),
               "--exclude-resource-type", "test", "unit_test"]  # fmt: skip
    done = subprocess.run(command, env=env, cwd=lake.project, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout
    with duckdb.connect(env["VECTOR_DUCKDB_PATH"], read_only=True) as connection:
        return {
            table: sorted(map(list, connection.execute(f"select {columns} from vector.{table}").fetchall()), key=str)
            for table, columns in _TABLES.items()
        }


def _edit_the_demo(lake: Lake) -> None:
    """Changes an event, removes one and adds one."""
    path = lake.project / "seeds" / "demo" / "event.csv"
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = reader.fieldnames, list(reader)
    rows[0]["summary"] = "It's another text, with a \\ and a 'quote'."
    added = {**rows[1], "event_id": "added"}
    del rows[1]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows([*rows, added])


def test_the_demo_is_cut_as_on_duckdb(built: Lake) -> None:
    assert _of_spark(built) == _build_duckdb(built)


def test_a_ledger_twice(built: Lake) -> None:
    """What is changed, removed, added, and back again, is updated, retired, inserted and revived as on DuckDB; then
    nothing is written."""
    path = built.project / "seeds" / "demo" / "event.csv"
    before = path.read_bytes()
    ledgers = (
        "--exclude-resource-type",
        "test",
        "unit_test",
        "--select",
        "event",
        "source_registry",
        "chunk",
        "chunk_version",
    )
    try:
        _edit_the_demo(built)
        built.dbt("build", *ledgers)
        assert _of_spark(built) == _build_duckdb(built)
    finally:
        path.write_bytes(before)
        built.dbt("build", *ledgers)
    assert _of_spark(built) == _build_duckdb(built)
    output = built.dbt("build", *ledgers)
    for ledger in ("source_registry", "chunk", "chunk_version"):
        assert f"{ledger}: nothing new or changed" in output
