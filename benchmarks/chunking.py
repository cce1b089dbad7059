"""Chunking: the SQL of `document` and `chunk_window` in DuckDB against the plain Python Chunker, by length and script.

MB are of UTF-8. The SQL is the project's own, compiled by dbt, over staging relations that hold generated documents;
both sides normalise and hash the document, cut it, and hash each chunk and its id. Before timing, their chunks are
compared. "of 10 kB" is the SQL's speed over its speed on documents of 10,000 bytes of the same script.
"""

from __future__ import annotations

import pyarrow as pa
from support import Warehouse, best_of, parser, print_header, print_table, scratch_warehouse, text_of

from vector.chunking import Chunker, ChunkingPolicy, normalize_text
from vector.contracts.identity import compute_content_hash

POLICY = ChunkingPolicy(chunk_size=800, overlap=100, max_chunks_per_source=1_000_000, version="bench")
LENGTHS = (1_000, 10_000, 100_000, 1_000_000, 5_000_000)
SCRIPTS = ("ASCII", "Cyrillic", "CJK")


def main() -> None:
    """Measures and prints the speed by script and length."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--megabytes", type=float, default=10, metavar="MB", help="of text a figure")
    arguments.add_argument(
        "--lengths", type=int, nargs="+", default=list(LENGTHS), metavar="BYTES", help="of documents"
    )
    arguments.add_argument("--scripts", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    given = arguments.parse_args()
    print_header("Chunking, windows of 800 with 100 overlap")
    with scratch_warehouse() as warehouse:
        rows = _measure(warehouse, given.scripts, given.lengths, int(given.megabytes * 1e6), given.repetitions)
    print_table(
        ["script", "document bytes", "documents", "chunks", "SQL MB/s", "Python MB/s", "SQL / Python", "of 10 kB"], rows
    )


def _measure(
    warehouse: Warehouse, scripts: list[str], lengths: list[int], total_bytes: int, repetitions: int
) -> list[list]:
    warehouse.build()
    rows = []
    with warehouse.connect() as connection:
        _put_tables_for_staging(connection)
        window_sql = warehouse.compiled_sql("chunk_window")
        for script in scripts:
            speeds = {}
            for length in lengths:
                documents = [text_of(script, length, seed) for seed in range(max(1, total_bytes // length))]
                megabytes = sum(len(text.encode()) for text in documents) / 1e6
                connection.register("documents", pa.table({"n": range(len(documents)), "content": documents}))
                connection.execute(
                    "create or replace table vector.stg_page as select concat('page:', n) as source_id,"
                    " 'page' as source_type, '{}' as source_ref_json, 'title' as title, content,"
                    " '{}' as tags_json, now()::timestamp as updated_utc from documents"
                )
                chunk_count = _require_equal(connection, window_sql, documents)
                seconds = best_of(
                    repetitions,
                    {
                        "python": lambda documents=documents: _cut_all(documents),
                        "sql": lambda: connection.execute(f"create or replace temp table cut as {window_sql}"),
                    },
                )
                speeds[length] = megabytes / seconds["sql"]
                rows.append(
                    [script, length, len(documents), chunk_count, speeds[length], megabytes / seconds["python"],
                     seconds["python"] / seconds["sql"],
                     speeds[length] / speeds[10_000] if 10_000 in speeds else "-"]
                )  # fmt: skip
    return rows


def _put_tables_for_staging(connection) -> None:
    """Staging models parse JSON, which is not what is measured: tables take their place, under the real `document`."""
    columns = (
        "source_id varchar, source_type varchar, source_ref_json varchar, title varchar, content varchar,"
        " tags_json varchar, updated_utc timestamp"
    )
    for name in ("page", "entity", "event"):
        connection.execute(f"drop view vector.stg_{name}")
        connection.execute(f"create table vector.stg_{name} ({columns})")
    connection.execute(
        "update vector.chunk_policy set policy_version = 'bench', chunk_size = ?, overlap = ?,"
        " max_chunks_per_source = ?, is_active = (source_type = '*')",
        [POLICY.chunk_size, POLICY.overlap, POLICY.max_chunks_per_source],
    )


def _cut_all(documents: list[str]) -> list:
    chunker = Chunker(POLICY)
    cut = []
    for number, document in enumerate(documents):
        content = normalize_text(document)
        compute_content_hash(content)
        cut.append(chunker.chunk(content, f"page:{number}", "page"))
    return cut


def _require_equal(connection, window_sql: str, documents: list[str]) -> int:
    found = set(connection.execute(f"select chunk_id, content_sha256 from ({window_sql}) as cut").fetchall())
    expected = {(chunk.chunk_id, chunk.content_sha256) for chunks in _cut_all(documents) for chunk in chunks}
    if found != expected:
        raise SystemExit(f"SQL and Python cut differently: {len(found ^ expected)} chunks differ")
    return len(expected)


if __name__ == "__main__":
    main()
