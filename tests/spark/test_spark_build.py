"""dbt on Spark makes what it makes on DuckDB: the same ids, hashes, texts and states, twice."""

import csv
import subprocess
import sys

import duckdb
from conftest import Lake
from parity import as_pinned, hostile_cases

_TABLES = {
    "chunk": "chunk_id, source_id, source_type, source_ref_json, offsets_json, content, context, content_sha256,"
    " byte_count, policy_json, managed_by, case when retired_utc is null then 0 else 1 end as retired",
    "chunk_version": "chunk_id, content_sha256, content",
    "source_registry": "source_id, source_type, source_ref_json, title, content_sha256, char_count, policy_version,"
    " chunk_count, tags_json, status, error_message, case when retired_utc is null then 0 else 1 end as retired",
    "embedding_space": "embedding_space_id, space_key",
}  # fmt: skip

# The columns of the two views that what is cut is read from.
_DOCUMENTS = (
    "select source_id, policy as source_type, '{{}}' as source_ref_json, cast(null as string) as title, content,"
    " cast(null as string) as tags_json, cast(null as timestamp_ntz) as updated_utc,"
    " cast(null as string) as unfit_updated_utc, 'pinned' as document_model from {given}"
)
_POLICIES = (
    "select policy as policy_version, policy as source_type, chunk_size, overlap, max_chunks_per_source,"
    " true as is_active, cast(null as string) as description, method, cast(null as string) as tokenizer,"
    " cast(null as string) as payload_format, cast(null as string) as json_path, cast(null as string) as value_format"
    " from {given}"
)


def _of_spark(lake: Lake) -> dict:
    return {table: sorted(rows, key=str) for table, rows in lake.rows(_TABLES).items()}


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


def test_the_pinned_texts_are_cut_as_pinned(built: Lake) -> None:
    """All hostile texts by all policies, each under a source type of its own, a policy at a time."""
    cases = list(hostile_cases())
    policies = {case[2].version: case[2] for case in cases}
    rows = [
        (name, each.chunk_size, each.overlap, each.max_chunks_per_source, each.to_dict().get("method"))
        for name, each in policies.items()
    ]
    columns = "policy string, chunk_size int, overlap int, max_chunks_per_source int, method string"
    try:
        built.view("chunk_policy_input", _POLICIES, rows, columns)
        for name in policies:
            of_policy = [case for case in cases if case[2].version == name]
            texts = [(source_id, text, name) for source_id, text, *_ in of_policy]
            built.view("document_input", _DOCUMENTS, texts, "source_id string, content string, policy string")
            found = built.rows({
                "document": "source_id, char_count, content_sha256",
                "chunk_window": "source_id, chunk_index, start_offset, end_offset, chunk_id, content_sha256",
            })  # fmt: skip
            documents = {source_id: more for source_id, *more in found["document"]}
            chunks: dict[str, list[list]] = {}
            for source_id, _, *chunk in sorted(found["chunk_window"]):
                chunks.setdefault(source_id, []).append(chunk)
            assert len(documents) == len(of_policy)
            for source_id, _, _, entry, answers in of_policy:
                assert (source_id, documents[source_id]) == (source_id, [entry["char_count"], entry["content_sha256"]])
                assert (source_id, name, as_pinned(chunks.get(source_id, []))) == (source_id, name, answers)
    finally:
        built.dbt("run", "--select", "document_input", "chunk_policy_input")
