"""The index of words: how long it takes to build, to find that nothing or a hundredth has changed, and to answer.

Each is measured in a process of its own, and in its processor time; memory is all that the process has at its peak. The
baseline is the library bm25s on the same words, already cut, with nothing around it: its index, which has to be built
anew for any change, and its scores of one question.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import duckdb
import numpy as np
from support import (
    best_of,
    fill_chunks,
    fill_embeddings,
    in_own_process,
    parser,
    print_header,
    print_table,
    scratch_warehouse,
    zipfian_texts,
)

from vector.engines.duckdb.engine import DuckDBEngine
from vector.search.lexical import LexicalIndexes
from vector.search.tokens import Analyzer
from vector.store import VectorStore

TOP_K = 10
QUESTION = "word4 word40 word400"
LANGUAGE = "english"
# A hundredth of the chunks get another text, and a vector of it.
CHANGE = """
create temp table changed as
    select chunk_id, concat(content, ' changed ', chunk_id[:12]) as content
    from vector.chunk where managed_by = 'python' and hash(chunk_id) % 100 = 0;
insert into vector.chunk_version by name
    select chunk_id, sha256(content) as content_sha256, content, now()::timestamp as created_utc from changed;
update vector.chunk as chunk set content = changed.content, content_sha256 = sha256(changed.content),
    byte_count = strlen(changed.content), updated_utc = now()::timestamp
    from changed where changed.chunk_id = chunk.chunk_id;
insert into vector.embedding by name
    select uuid()::varchar as embedding_id, changed.chunk_id, embedding_space_id, dimensions,
        sha256(content) as input_content_sha256, vector, vector_sha256, now()::timestamp as created_utc
    from changed inner join vector.embedding as embedding on embedding.chunk_id = changed.chunk_id;
drop table changed;
checkpoint
"""


def main() -> None:
    """Measures and prints seconds, milliseconds and memory."""
    arguments = parser(__doc__, repetitions=10)
    arguments.add_argument("--chunks", type=int, default=100_000, metavar="N")
    arguments.add_argument("--words", type=int, default=80, metavar="N", help="a chunk, of 50,000 different ones")
    given = arguments.parse_args()
    print_header(f"The index of words, {given.chunks:,} chunks of {given.words} words, the best {TOP_K}")
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            space = VectorStore(connection).get_or_create_embedding_space("hash", "hash", 8).embedding_space_id
            fill_chunks(connection, given.chunks, texts=zipfian_texts(given.chunks, given.words))
            fill_embeddings(connection, space, 8)
            connection.execute("checkpoint")
        rows: list[list[Any]] = []
        cache = warehouse.folder / "cache"
        for name, subject in (
            ("bm25s, built", _bm25s), ("index, built", _index), ("index, read", _index),
            ("index, a hundredth changed", _index),
        ):  # fmt: skip
            if "changed" in name:
                with warehouse.connect() as connection:
                    connection.execute(CHANGE)
            (first, processor, *others), peak = in_own_process(subject, warehouse.path, space, cache, given.repetitions)
            rows.append([name, first, processor, processor / (rows[0][2] if rows else processor), *others, peak])
        size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6
    headers = ["what", "first s", "processor s", "of bm25s", "unchanged ms", "question ms", "filtered ms", "peak MB"]
    print_table(headers, rows)
    print(f"\nThe file has {size:,.0f} MB.")


def _bm25s(path: Path, space: str, cache: Path, repetitions: int) -> tuple[Any, ...]:
    vocabulary: dict[str, int] = {}
    analyzer = Analyzer(LANGUAGE)
    with duckdb.connect(str(path)) as connection:
        rows = connection.execute("select content from vector.chunk where managed_by = 'python'").fetchall()
    documents = [[vocabulary.setdefault(word, len(vocabulary)) for word in analyzer.tokens(text)] for (text,) in rows]
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numpy", csc_backend="numpy")
    first = _seconds(lambda: index.index((documents, vocabulary), create_empty_token=False, show_progress=False))
    words = analyzer.question(QUESTION)

    def asked() -> Any:
        return np.argpartition(index.get_scores(words), -TOP_K)[-TOP_K:]

    return *first, "", 1000 * best_of(repetitions, {"asked": asked})["asked"], ""


def _index(path: Path, space: str, cache: Path, repetitions: int) -> tuple[float, ...]:
    with duckdb.connect(str(path)) as connection:
        connection.execute("set enable_progress_bar = false")  # a process without a script counts as interactive
        engine, indexes = DuckDBEngine(connection), LexicalIndexes(cache)

        def up_to_date() -> Any:
            return indexes.current(engine, space, LANGUAGE)

        first = _seconds(lambda: up_to_date().best(QUESTION, TOP_K))
        index = up_to_date()
        best = best_of(
            repetitions,
            {
                "unchanged": up_to_date,
                "question": lambda: index.best(QUESTION, TOP_K),
                "filtered": lambda: index.best(QUESTION, TOP_K, source_types=["page"]),
            },
        )
        if len(index.best(QUESTION, TOP_K)[0]) != TOP_K:
            raise SystemExit(f"fewer than {TOP_K} hits")
    return *first, *(1000 * best[name] for name in ("unchanged", "question", "filtered"))


def _seconds(subject: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and seconds of processor time."""
    started, processor = time.perf_counter(), time.process_time()
    subject()
    return time.perf_counter() - started, time.process_time() - processor


if __name__ == "__main__":
    main()
