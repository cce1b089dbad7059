"""Exact search through the engine, against DuckDB's own array_cosine_similarity over a bare table, and numpy.

The bare table has chunk_id, source_type, source_id and a FLOAT[dimensions] column and nothing else. numpy is one
matrix-vector product and a partial sort over vectors that are already in memory, without filters. The ratio is measured
twice: in time, and in processor time of this process, which other work on the machine disturbs less.

Then each way of searching gets a process of its own, which shows what a first search takes, opening the database
included, and how much memory a process that searches has in all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
from support import (
    best_of,
    fill_chunks,
    fill_embeddings,
    in_own_process,
    parser,
    peak_memory_growth,
    print_header,
    print_table,
    reset_peak_memory,
    scratch_warehouse,
    unit_vectors,
)

from vector.engines.base import SearchRequest
from vector.engines.filters import SearchFilters
from vector.providers.hash import HashProvider
from vector.search.search import search
from vector.store import VectorStore

TOP_K = 10


def main() -> None:
    """Measures and prints the milliseconds a search and memory."""
    arguments = parser(__doc__, repetitions=7)
    arguments.add_argument("--rows", type=int, default=100_000, metavar="N", help="vectors in the space")
    arguments.add_argument("--dimensions", type=int, default=384, metavar="N")
    given = arguments.parse_args()
    print_header(f"Exact search, {given.rows:,} x {given.dimensions}, the best {TOP_K}")
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            store = VectorStore(connection)
            space = store.get_or_create_embedding_space("hash", "hash", given.dimensions)
            fill_chunks(connection, given.rows, characters=100)
            vectors = fill_embeddings(connection, space.embedding_space_id, given.dimensions)
            connection.execute(
                "create table bench.bare as select chunk_id, source_type, source_id,"
                f" vector::float[{given.dimensions}] as vector from vector.embedding_current"
            )
            connection.execute("checkpoint")
        # A connection of its own for the measurement, so that nothing of the filling is left in memory.
        with warehouse.connect() as connection:
            rows = _measure(VectorStore(connection), space.embedding_space_id, vectors, given.repetitions)
        of_processes = [
            [name, *seconds, peak]
            for name, subject in {"bare table": _bare, "engine": _engine, "search, logged": _logged}.items()
            for seconds, peak in [in_own_process(subject, warehouse.path, space.embedding_space_id, given.dimensions)]
        ]
    headers = [
        "filter",
        "engine ms",
        "bare table ms",
        "engine / bare",
        "processor time",
        "numpy ms",
        "engine growth MB",
    ]
    print_table(headers, rows)
    print("\nIn a process of its own, no filter\n")
    print_table(["what", "first ms", "again ms", "peak MB"], of_processes)


def _measure(store: VectorStore, embedding_space_id: str, vectors: np.ndarray, repetitions: int) -> list[list]:
    connection = store.engine.connection
    query = unit_vectors(1, vectors.shape[1], seed=1)[0]
    some_sources = tuple(f"bench:{n}" for n in range(0, max(1, len(vectors) // 100), 10))
    filters = {
        "none": ((), (), ""),
        "source type, half": (("page",), (), "where source_type = 'page'"),
        "both source types": (("page", "event"), (), "where source_type in ('page', 'event')"),
        f"{len(some_sources)} sources, a tenth": ((), some_sources, f"where source_id in {some_sources!r}"),
        "1 source, 100 chunks": ((), ("bench:7",), "where source_id = 'bench:7'"),
    }
    rows = []
    for name, (source_types, source_ids, where) in filters.items():
        request = SearchRequest(embedding_space_id, query, "cosine", TOP_K, SearchFilters(source_types, source_ids))
        bare_sql = _bare_sql(len(query), where)

        def bare(bare_sql: str = bare_sql) -> list:
            return connection.execute(bare_sql, [query.tolist()]).fetchall()

        def engine(request: SearchRequest = request) -> list:
            return store.engine.search(request)[0]

        def numpy_product() -> list:
            scores = vectors @ query
            best = np.argpartition(-scores, TOP_K)[:TOP_K]
            return best[np.argsort(-scores[best])].tolist()

        if [hit.chunk_id for hit in engine()] != [row[0] for row in bare()]:
            raise SystemExit(f"filter {name}: the engine and the bare table found different chunks")
        start = reset_peak_memory()
        engine()
        growth = peak_memory_growth(start)
        subjects = {"bare": bare, "engine": engine} | ({} if where else {"numpy": numpy_product})
        seconds = best_of(repetitions, subjects)
        processor = best_of(repetitions, {"bare": _processor_time(bare), "engine": _processor_time(engine)})
        rows.append(
            [name, 1000 * seconds["engine"], 1000 * seconds["bare"], seconds["engine"] / seconds["bare"],
             processor["engine"] / processor["bare"], 1000 * seconds["numpy"] if "numpy" in seconds else "-", growth]
        )  # fmt: skip
    return rows


def _bare_sql(dimensions: int, where: str = "") -> str:
    return (
        f"select chunk_id, array_cosine_similarity(vector, ?::float[{dimensions}]) as score from bench.bare {where}"
        f" order by score desc, chunk_id limit {TOP_K}"
    )


def _bare(path: Path, embedding_space_id: str, dimensions: int) -> list[float]:
    query = unit_vectors(1, dimensions, seed=1)[0].tolist()
    return _first_and_again(path, lambda store: store.engine.query(_bare_sql(dimensions), [query]))


def _engine(path: Path, embedding_space_id: str, dimensions: int) -> list[float]:
    query = unit_vectors(1, dimensions, seed=1)[0]
    request = SearchRequest(embedding_space_id, query, "cosine", TOP_K)
    return _first_and_again(path, lambda store: store.engine.search(request))


def _logged(path: Path, embedding_space_id: str, dimensions: int) -> list[float]:
    def asked(store: VectorStore) -> None:
        space = store.get_embedding_space(embedding_space_id)
        search(store, space, HashProvider(space), "A question", TOP_K)

    return _first_and_again(path, asked)


def _first_and_again(path: Path, searched: Callable[[VectorStore], object]) -> list[float]:
    """Milliseconds of a first search, with opening the database, and the least of five more."""
    started = time.perf_counter()
    with duckdb.connect(str(path)) as connection:
        connection.execute("set enable_progress_bar = false")  # a process without a script counts as interactive
        store = VectorStore(connection)
        searched(store)
        first = time.perf_counter() - started
        again = best_of(5, {"again": lambda: searched(store)})["again"]
    return [1000 * first, 1000 * again]


def _processor_time(subject: Callable[[], object]) -> Callable[[], float]:
    def measured() -> float:
        started = time.process_time()
        subject()
        return time.process_time() - started

    return measured


if __name__ == "__main__":
    main()
