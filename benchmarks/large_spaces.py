"""Search of a large space: by sketches and exact, beside FAISS, LanceDB, sqlite-vec and pgvector over the same.

Vectors are drawn as those of texts lie (topics, a direction that all share, most of the variance in few directions), or
read from a file of numpy (--vectors, --questions: float32, a row each). Recall@10 is the share of the exact ten that
were found, over all questions; ms are the median of a question, one at a time, and processor ms the mean. Ours answers
with current chunks from a file that is searched while it may change; the others hold vectors and positions only: FAISS
in memory (flat and HNSW), LanceDB without an index, sqlite-vec in a file, pgvector in a server of its own (without an
index and HNSW). What is not installed here (`pip install faiss-cpu lancedb sqlite-vec apsw pgvector pgserver
'psycopg[binary]'`) is named and left out. Before that, the recall of so many candidates, and a search with filters.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from support import (
    TextVectors,
    fill_chunks,
    fill_embeddings,
    parser,
    peak_memory_growth,
    print_header,
    print_table,
    reset_peak_memory,
    scratch_warehouse,
    unit,
)

from vector.contracts.models import EmbeddingSpace
from vector.engines.base import SearchRequest
from vector.engines.duckdb import sketch_search
from vector.engines.filters import NO_FILTERS, SearchFilters
from vector.search.stages import EXACT, SKETCH, search_by_vectors
from vector.store import VectorStore
from vector.store.sketches import fill_sketches

TOP_K = 10
CANDIDATES = (500, 1000, 2000, 5000)
# A question's places: positions of vectors in the order of chunk ids.
Search = Callable[[np.ndarray], list[int]]


def main() -> None:
    """Measures and prints the tables."""
    given = _arguments()
    vectors, questions = _vectors(given)
    print_header(f"Search of {len(vectors):,} x {vectors.shape[1]}, {len(questions)} questions, the best {TOP_K}")
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}\n", flush=True)
    truth = [np.argsort(-(vectors @ question), kind="stable")[:TOP_K] for question in questions]
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            store = VectorStore(connection)
            space = store.get_or_create_embedding_space("hash", "hash", vectors.shape[1])
            fill_chunks(connection, len(vectors), characters=100)
            fill_embeddings(connection, space.embedding_space_id, vectors.shape[1], vectors)
            connection.execute("checkpoint")
            started = time.perf_counter()
            fill_sketches(store, space)
            built = time.perf_counter() - started
            connection.execute("checkpoint")
        # A connection of its own for the measurement, so that nothing of the filling is left in memory.
        with warehouse.connect() as connection:
            ours = _Ours(VectorStore(connection), space)
            _print_candidates(ours, questions, truth)
            _print_filters(ours, questions)
            rows = [
                _measured("sketches", ours.by_sketches, questions, truth, built),
                _measured("exact", ours.exact, questions, truth, 0.0),
            ]
    rows += [_other(name, vectors, questions, truth) for name in given.others]
    print_table(["what", "median ms", "processor ms", f"recall@{TOP_K}", "built in s", "growth MB"], rows)


def _arguments() -> argparse.Namespace:
    made = parser(__doc__, repetitions=1)
    made.add_argument("--rows", type=int, default=200_000, metavar="N", help="vectors in the space")
    made.add_argument("--dimensions", type=int, default=384, metavar="N")
    made.add_argument("--asked", type=int, default=50, metavar="N", help="questions")
    made.add_argument("--vectors", type=Path, metavar="FILE", help="in place of drawn ones")
    made.add_argument("--questions", type=Path, metavar="FILE")
    made.add_argument("--others", nargs="*", default=list(OTHERS), choices=list(OTHERS), metavar="NAME")
    return made.parse_args()


def _vectors(given: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors to store, and questions: float32, a row each."""
    if given.vectors:
        return unit(np.load(given.vectors)), unit(np.load(given.questions)[: given.asked])
    texts = TextVectors(given.rows, given.dimensions)
    return texts.draw(given.rows), texts.draw(given.asked)


class _Ours:
    """The two ways of a search by vectors, by position in the order of chunk ids."""

    def __init__(self, store: VectorStore, space: EmbeddingSpace) -> None:
        self.engine, self.space = store.engine, space
        rows = self.engine.query("select chunk_id from vector.chunk where retired_utc is null order by chunk_id")
        self.places = {chunk_id: place for place, (chunk_id,) in enumerate(rows)}

    def exact(self, question: np.ndarray, filters: SearchFilters = NO_FILTERS) -> list[int]:
        """Every vector is compared."""
        return self._found(question, filters, EXACT)

    def by_sketches(self, question: np.ndarray, filters: SearchFilters = NO_FILTERS) -> list[int]:
        """As a command does it: whether all vectors have a sketch is looked at, and filters may lead to `exact`."""
        return self._found(question, filters, SKETCH)

    def _found(self, question: np.ndarray, filters: SearchFilters, stage: str) -> list[int]:
        request = SearchRequest(self.space.embedding_space_id, question, "cosine", TOP_K, filters)
        found, _ = search_by_vectors(self.engine, self.space, request, stage)
        return [self.places[hit.chunk_id] for hit in found.hits]


def _print_candidates(ours: _Ours, questions: np.ndarray, truth: list[np.ndarray]) -> None:
    rows, default = [], sketch_search.CANDIDATES
    for count in CANDIDATES:
        sketch_search.CANDIDATES = count
        _, ms, processor, recall, *_ = _measured("", ours.by_sketches, questions, truth, 0.0)
        rows.append([count, ms, processor, recall])
    sketch_search.CANDIDATES = default
    print_table(["candidates", "median ms", "processor ms", f"recall@{TOP_K}"], rows)
    print()


def _print_filters(ours: _Ours, questions: np.ndarray) -> None:
    some = tuple(f"bench:{n}" for n in range(0, max(1, len(ours.places) // 100), 10))
    filters = {
        "source type, half": SearchFilters(source_types=("page",)),
        f"{len(some)} sources, a tenth": SearchFilters(source_ids=some[:1000]),
        "1 source, 100 chunks": SearchFilters(source_ids=("bench:7",)),
    }
    rows = []
    for name, filter in filters.items():
        truth = [np.asarray(ours.exact(question, filter)) for question in questions]
        for stage, search in (("sketches", ours.by_sketches), ("exact", ours.exact)):
            asked = lambda question, search=search, filter=filter: search(question, filter)  # noqa: E731
            _, ms, processor, recall, *_ = _measured("", asked, questions, truth, 0.0)
            rows.append([name, stage, ms, processor, recall])
    print_table(["filter", "by", "median ms", "processor ms", f"recall@{TOP_K}"], rows)
    print()


def _measured(name: str, search: Search, questions: np.ndarray, truth: list[np.ndarray], built: float) -> list:
    search(questions[0])
    start = reset_peak_memory()
    seconds, found = [], 0
    processor = time.process_time()
    for question, right in zip(questions, truth, strict=True):
        started = time.perf_counter()
        places = search(question)
        seconds.append(time.perf_counter() - started)
        found += len({*places} & {*right.tolist()})
    processor = time.process_time() - processor
    recall = found / sum(map(len, truth))
    ms = 1000 * statistics.median(seconds)
    return [name, ms, 1000 * processor / len(questions), round(recall, 4), built, peak_memory_growth(start)]


def _other(name: str, vectors: np.ndarray, questions: np.ndarray, truth: list[np.ndarray]) -> list:
    package, made = OTHERS[name]
    try:
        label = f"{name} {version(package)}"
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            search = made(vectors, Path(folder))
            return _measured(label, search, questions, truth, time.perf_counter() - started)
    except (ImportError, PackageNotFoundError) as error:
        return [f"{name}: {error}", "-", "-", "-", "-", "-"]


def _flat(vectors: np.ndarray, folder: Path) -> Search:
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda question: index.search(question[None], TOP_K)[1][0].tolist()


def _hnsw(vectors: np.ndarray, folder: Path) -> Search:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 40
    index.add(vectors)
    index.hnsw.efSearch = 128
    return lambda question: index.search(question[None], TOP_K)[1][0].tolist()


def _lancedb(vectors: np.ndarray, folder: Path) -> Search:
    import lancedb
    import pyarrow as pa

    column = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
    rows = pa.table({"place": np.arange(len(vectors)), "vector": column})
    table = lancedb.connect(folder).create_table("vectors", rows)

    def search(question: np.ndarray) -> list[int]:
        found = table.search(question).distance_type("dot").limit(TOP_K).select(["place", "_distance"])
        return found.to_arrow().column("place").to_pylist()

    return search


def _sqlite_vec(vectors: np.ndarray, folder: Path) -> Search:
    import apsw  # the sqlite3 of many a Python loads no extension
    import sqlite_vec

    connection = apsw.Connection(str(folder / "vectors.db"))
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.execute(f"create virtual table v using vec0 (vector float[{vectors.shape[1]}] distance_metric=cosine)")
    rows = ((place, vector.tobytes()) for place, vector in enumerate(vectors))
    with connection:
        connection.executemany("insert into v (rowid, vector) values (?, ?)", rows)
    sql = f"select rowid from v where vector match ? and k = {TOP_K} order by distance"
    return lambda question: [place for (place,) in connection.execute(sql, [question.tobytes()])]


def _pgvector(index: str) -> Callable[[np.ndarray, Path], Search]:
    """Made with the index, or without one; each server is stopped with this process."""

    def made(vectors: np.ndarray, folder: Path) -> Search:
        import pgserver
        import psycopg
        from pgvector.psycopg import register_vector

        server = pgserver.get_server(folder / "postgres")
        connection = psycopg.connect(server.get_uri(), autocommit=True)
        connection.execute("create extension vector")
        register_vector(connection)
        connection.execute(f"create table v (place bigint, vector vector({vectors.shape[1]}))")
        with connection.cursor() as cursor, cursor.copy("copy v from stdin with (format binary)") as copy:
            copy.set_types(["int8", "vector"])
            for place, vector in enumerate(vectors):
                copy.write_row((place, vector))
        connection.execute("set maintenance_work_mem = '4GB'")
        if index:
            connection.execute(f"create index on v using {index}")
            connection.execute("set hnsw.ef_search = 128")
        sql = f"select place from v order by vector <#> %s limit {TOP_K}"
        return lambda question: [place for (place,) in connection.execute(sql, [question])]

    return made


OTHERS = {
    "FAISS flat": ("faiss-cpu", _flat),
    "FAISS HNSW": ("faiss-cpu", _hnsw),
    "LanceDB": ("lancedb", _lancedb),
    "sqlite-vec": ("sqlite-vec", _sqlite_vec),
    "pgvector exact": ("pgvector", _pgvector("")),
    "pgvector HNSW": ("pgvector", _pgvector("hnsw (vector vector_ip_ops) with (m = 16, ef_construction = 64)")),
}


if __name__ == "__main__":
    main()
