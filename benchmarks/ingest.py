"""Ingest: rows/s of save_embeddings and of the whole embed_space loop with an instant provider, and memory growth.

The baseline is a bare DuckDB INSERT of the same rows, as one Arrow table, into a table without keys or checks in a
database file. save_embeddings is given ready VectorEmbedding records, in batches; embed_space reads the texts, calls
the `hash` provider, makes the records and stores them. Memory is the peak over the start, at two numbers of pending
chunks, so that growth with their number shows.
"""

from __future__ import annotations

import time

import duckdb
import pyarrow as pa
from support import (
    Warehouse,
    best_of,
    fill_chunks,
    parser,
    peak_memory_growth,
    print_header,
    print_table,
    reset_peak_memory,
    scratch_warehouse,
    unit_vectors,
    vector_column,
)

from vector.contracts.models import VectorEmbedding
from vector.embedding import embed_space
from vector.store import VectorStore

SPACE = {"provider": "hash", "model_name": "hash"}


def main() -> None:
    """Measures and prints the rows a second and memory."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--rows", type=int, default=20_000, metavar="N")
    arguments.add_argument(
        "--more-rows", type=int, default=60_000, metavar="N", help="pending, for memory growth; 0: none"
    )
    arguments.add_argument("--dimensions", type=int, default=384, metavar="N")
    arguments.add_argument("--batches", type=int, nargs="+", default=[256, 2_000], metavar="N", help="rows a save")
    given = arguments.parse_args()
    print_header(f"Ingest, {given.rows:,} rows at {given.dimensions} dimensions")
    with scratch_warehouse() as warehouse:
        rows = _measure(warehouse, given.rows, given.dimensions, given.batches, given.repetitions)
    if given.more_rows:
        with scratch_warehouse() as warehouse:
            _prepare(warehouse, given.more_rows, given.dimensions)
            seconds, growth = _embed(warehouse, given.dimensions)
            rows.append([f"embed_space, {given.more_rows:,} pending", given.more_rows / seconds, "-", growth])
    print_table(["what", "rows/s", "of the bare insert", "peak growth MB"], rows)


def _measure(warehouse: Warehouse, count: int, dimensions: int, batches: list[int], repetitions: int) -> list[list]:
    _prepare(warehouse, count, dimensions)
    with warehouse.connect() as connection:
        space_id = (
            VectorStore(connection).get_or_create_embedding_space(**SPACE, dimensions=dimensions).embedding_space_id
        )
        chunks = connection.execute("select chunk_id, content_sha256 from vector.chunk order by chunk_id").fetchall()
    vectors = unit_vectors(count, dimensions)

    def records(start: int = 0, end: int = count) -> list[VectorEmbedding]:
        return [
            VectorEmbedding.create_new(chunk_id, space_id, content_sha256, vector)
            for (chunk_id, content_sha256), vector in zip(chunks[start:end], vectors[start:end], strict=True)
        ]

    ready = records()
    table = pa.table(
        {
            "embedding_id": [record.embedding_id for record in ready],
            "chunk_id": [record.chunk_id for record in ready],
            "embedding_space_id": [record.embedding_space_id for record in ready],
            "input_content_sha256": [record.input_content_sha256 for record in ready],
            "vector": vector_column(vectors),
            "vector_sha256": [record.vector_sha256 for record in ready],
            "created_utc": [record.created_utc.replace(tzinfo=None) for record in ready],
        }
    )

    def bare() -> float:
        with duckdb.connect(str(warehouse.copy("bare"))) as connection:
            connection.register("ready", table)
            connection.execute("create table bench.bare as from ready limit 0")
            started = time.perf_counter()
            connection.execute("insert into bench.bare from ready")
            return time.perf_counter() - started

    def save(batch: int) -> float:
        with duckdb.connect(str(warehouse.copy("save"))) as connection:
            store = VectorStore(connection)
            started = time.perf_counter()
            for start in range(0, count, batch):
                store.save_embeddings(ready[start : start + batch])
            return time.perf_counter() - started

    subjects = {"bare INSERT of one Arrow table": bare}
    for batch in batches:
        subjects[f"save_embeddings, batches of {batch:,}"] = lambda batch=batch: save(batch)
    subjects["VectorEmbedding.create_new"] = lambda: records() and None
    growth = {}

    def embed() -> float:
        seconds, growth["embed_space"] = _embed(warehouse, dimensions)
        return seconds

    subjects["embed_space"] = embed
    seconds = best_of(repetitions, subjects)
    (baseline, *_) = seconds.values()
    return [[name, count / each, baseline / each, growth.get(name, "-")] for name, each in seconds.items()]


def _prepare(warehouse: Warehouse, count: int, dimensions: int) -> None:
    """Chunks that are pending in a space of the hash provider, and in no other."""
    warehouse.build()
    with warehouse.connect() as connection:
        VectorStore(connection).get_or_create_embedding_space(**SPACE, dimensions=dimensions)
        fill_chunks(connection, count)
        connection.execute("checkpoint")


def _embed(warehouse: Warehouse, dimensions: int) -> tuple[float, str]:
    with duckdb.connect(str(warehouse.copy("embed"))) as connection:
        store = VectorStore(connection)
        space = store.get_or_create_embedding_space(**SPACE, dimensions=dimensions)
        start = reset_peak_memory()
        started = time.perf_counter()
        summary = embed_space(store, space)
        seconds = time.perf_counter() - started
        if summary.written != summary.planned or not summary.written:
            raise SystemExit(f"embed_space wrote {summary.written} of {summary.planned}")
        return seconds, peak_memory_growth(start)


if __name__ == "__main__":
    main()
