"""Lexical search: its first search, which builds the index of words or reads it from its files, and those after it.

Each is measured in a process of its own, and in its processor time; memory is all that the process has at its peak. The
baseline is the library bm25s on the same words, already cut, with nothing around it: its index, and its answer to one
question.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import duckdb
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

from vector.search.policy import SearchPolicy
from vector.search.search import search
from vector.search.tokens import Analyzer
from vector.store import VectorStore

TOP_K = 10
QUESTION = "word40 word400 word4000"


def main() -> None:
    """Measures and prints seconds, milliseconds and memory."""
    arguments = parser(__doc__, repetitions=20)
    arguments.add_argument("--chunks", type=int, default=100_000, metavar="N")
    arguments.add_argument("--words", type=int, default=80, metavar="N", help="a chunk, of 50,000 different ones")
    given = arguments.parse_args()
    print_header(f"Lexical search, {given.chunks:,} chunks of {given.words} words, the best {TOP_K}")
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            space = VectorStore(connection).get_or_create_embedding_space("hash", "hash", 8)
            fill_chunks(connection, given.chunks, texts=zipfian_texts(given.chunks, given.words))
            fill_embeddings(connection, space.embedding_space_id, 8)
            connection.execute("checkpoint")
        # The second process finds the files that the first has left.
        subjects = {"bm25s alone": _bm25s, "search, builds the index": _search, "search, reads its files": _search}
        rows = []
        for name, subject in subjects.items():
            (first, processor, again), peak = in_own_process(
                subject, warehouse.path, space.embedding_space_id, warehouse.folder / "cache", given.repetitions
            )
            baseline = rows[0][2] if rows else processor
            rows.append([name, first, processor, processor / baseline, 1000 * again, peak])
    print_table(["what", "first s", "processor s", "of bm25s", "again ms", "peak MB"], rows)


def _bm25s(path: Path, embedding_space_id: str, cache: Path, repetitions: int) -> tuple[float, float, float]:
    vocabulary: dict[str, int] = {}
    analyzer = Analyzer("english")  # what dbt_project.yml sets, and so what the search takes
    with duckdb.connect(str(path)) as connection:
        rows = connection.execute("select content from vector.chunk where managed_by = 'python'").fetchall()
    documents = [[vocabulary.setdefault(word, len(vocabulary)) for word in analyzer.tokens(text)] for (text,) in rows]
    index = bm25s.BM25(method="lucene", backend="numpy", csc_backend="numpy")
    first = _timed(lambda: index.index((documents, vocabulary), create_empty_token=False, show_progress=False))
    words = [analyzer.question(QUESTION)]
    again = best_of(repetitions, {"again": lambda: index.retrieve(words, k=TOP_K, show_progress=False)})
    return *first, again["again"]


def _search(path: Path, embedding_space_id: str, cache: Path, repetitions: int) -> tuple[float, float, float]:
    os.environ["VECTOR_CACHE_DIR"] = str(cache)
    with duckdb.connect(str(path)) as connection:
        connection.execute("set enable_progress_bar = false")  # a process without a script counts as interactive
        store = VectorStore(connection)
        space = store.get_embedding_space(embedding_space_id)

        def asked() -> None:
            found = search(store, space, None, QUESTION, TOP_K, log=False, policy=SearchPolicy("lexical"))
            if len(found.hits) != TOP_K:
                raise SystemExit(f"{len(found.hits)} of {TOP_K} hits")

        return *_timed(asked), best_of(repetitions, {"again": asked})["again"]


def _timed(subject: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and seconds of processor time."""
    started, processor = time.perf_counter(), time.process_time()
    subject()
    return time.perf_counter() - started, time.process_time() - processor


if __name__ == "__main__":
    main()
