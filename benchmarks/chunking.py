"""Chunking: the SQL of `document` and `chunk_window` in DuckDB against the plain Python Chunker, by length and script,
for both methods that SQL cuts by: windows of 800 characters and paragraphs of up to 800, with an overlap of 100.

MB are of UTF-8. The SQL is the project's own, compiled by dbt, over staging relations that hold generated documents;
both sides normalise and hash the document, cut it, and hash each chunk and its id. Before timing, their chunks are
compared. Documents are one endless line of words, or lines of three sentences. "of 10 kB" is the SQL's speed over its
speed on such documents of 10,000 bytes; "time / characters" the time of paragraphs over that of the windows.
"""

from __future__ import annotations

import argparse
from functools import partial

import pyarrow as pa
from support import best_of, parser, print_header, print_table, scratch_warehouse, text_of

from vector.chunking import Chunker, ChunkingPolicy, ParagraphPolicy, normalize_text
from vector.contracts.identity import compute_content_hash

POLICIES = {
    "characters": ChunkingPolicy(chunk_size=800, overlap=100, max_chunks_per_source=1_000_000, version="bench"),
    "paragraphs": ParagraphPolicy(chunk_size=800, overlap=100, max_chunks_per_source=1_000_000, version="bench"),
}
LENGTHS = (1_000, 10_000, 100_000, 1_000_000, 5_000_000)
SCRIPTS = ("ASCII", "Cyrillic", "CJK")
KINDS = ("one line", "lines")
# How many words have a sentence, and characters where a script has no blanks.
WORDS_OF_A_SENTENCE, SENTENCES_OF_A_LINE = 15, 3


def main() -> None:
    """Measures and prints the speed by script and length."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--megabytes", type=float, default=10, metavar="MB", help="of text a figure")
    arguments.add_argument(
        "--lengths", type=int, nargs="+", default=list(LENGTHS), metavar="BYTES", help="of documents"
    )
    arguments.add_argument("--scripts", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    arguments.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    given = arguments.parse_args()
    print_header("Chunking, windows and paragraphs of 800 with 100 overlap")
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            _put_tables_for_staging(connection)
            rows = [
                row
                for script in given.scripts
                for kind in given.kinds
                for row in _measure(connection, warehouse.compiled_sql("chunk_window"), script, kind, given)
            ]
    print_table(
        ["script", "text", "document bytes", "documents", "method", "chunks", "SQL MB/s", "Python MB/s",
         "SQL / Python", "of 10 kB", "time / characters"],
        rows,
    )  # fmt: skip


def _measure(connection, window_sql: str, script: str, kind: str, given: argparse.Namespace) -> list[list]:
    rows = []
    speeds: dict[tuple[str, int], float] = {}
    for length in given.lengths:
        documents = [_text(script, kind, length, seed) for seed in range(max(1, int(given.megabytes * 1e6) // length))]
        megabytes = sum(len(text.encode()) for text in documents) / 1e6
        with connection.cursor() as cursor:
            cursor.register("documents", pa.table({"n": range(len(documents)), "content": documents}))
            cursor.execute(
                "create or replace table vector.stg_page as select concat('page:', n) as source_id,"
                " 'page' as source_type, '{}' as source_ref_json, 'title' as title, content,"
                " '{}' as tags_json, now()::timestamp as updated_utc from documents"
            )
        counts = {}
        for method, policy in POLICIES.items():
            _use(connection, policy)
            counts[method] = _require_equal(connection, window_sql, documents, policy)
        seconds = best_of(
            given.repetitions,
            {
                (side, method): partial(cut, documents, policy)
                for method, policy in POLICIES.items()
                for side, cut in (("python", _cut_all), ("sql", partial(_cut_in_sql, connection, window_sql)))
            },
        )
        for method, count in counts.items():
            speed = speeds[method, length] = megabytes / seconds["sql", method]
            rows.append(
                [script, kind, length, len(documents), method, count, speed, megabytes / seconds["python", method],
                 seconds["python", method] / seconds["sql", method],
                 speed / speeds[method, 10_000] if (method, 10_000) in speeds else "-",
                 seconds["sql", method] / seconds["sql", "characters"]]
            )  # fmt: skip
    return rows


def _text(script: str, kind: str, length: int, seed: int) -> str:
    text = text_of(script, length, seed)
    if kind == "one line":
        return text
    blank, end = (" ", ".") if " " in text else ("", "。")
    words = text.split(" ") if blank else list(text)
    sentences = [
        blank.join(words[first : first + WORDS_OF_A_SENTENCE]) + end
        for first in range(0, len(words), WORDS_OF_A_SENTENCE)
    ]
    lines = [
        blank.join(sentences[first : first + SENTENCES_OF_A_LINE])
        for first in range(0, len(sentences), SENTENCES_OF_A_LINE)
    ]
    return "\n".join(lines)


def _put_tables_for_staging(connection) -> None:
    """Staging models parse JSON, which is not what is measured: tables take their place, under the real `document`."""
    columns = (
        "source_id varchar, source_type varchar, source_ref_json varchar, title varchar, content varchar,"
        " tags_json varchar, updated_utc timestamp"
    )
    for name in ("page", "entity", "event"):
        connection.execute(f"drop view vector.stg_{name}")
        connection.execute(f"create table vector.stg_{name} ({columns})")


def _use(connection, policy: ChunkingPolicy) -> None:
    connection.execute("delete from vector.chunk_policy")
    connection.execute(
        "insert into vector.chunk_policy (policy_version, source_type, chunk_size, overlap, method,"
        " max_chunks_per_source, is_active) values ('bench', '*', ?, ?, ?, ?, true)",
        [policy.chunk_size, policy.overlap, policy.to_dict().get("method"), policy.max_chunks_per_source],
    )


def _cut_in_sql(connection, window_sql: str, _documents: list[str], policy: ChunkingPolicy) -> None:
    _use(connection, policy)
    connection.execute(f"create or replace temp table cut as {window_sql}")


def _cut_all(documents: list[str], policy: ChunkingPolicy) -> list:
    chunker = Chunker(policy)
    cut = []
    for number, document in enumerate(documents):
        content = normalize_text(document)
        compute_content_hash(content)
        cut.append(chunker.chunk(content, f"page:{number}", "page"))
    return cut


def _require_equal(connection, window_sql: str, documents: list[str], policy: ChunkingPolicy) -> int:
    found = set(connection.execute(f"select chunk_id, content_sha256 from ({window_sql}) as cut").fetchall())
    expected = {(chunk.chunk_id, chunk.content_sha256) for chunks in _cut_all(documents, policy) for chunk in chunks}
    if found != expected:
        raise SystemExit(f"SQL and Python cut differently: {len(found ^ expected)} chunks differ")
    return len(expected)


if __name__ == "__main__":
    main()
