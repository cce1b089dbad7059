"""Searches while another process embeds, on DuckDB: 1,000 of them, all answered and all in the log afterwards.

One process embeds the chunks by the instant `hash` model, again and again until the searches are done, each time after
their vectors were deleted; two threads here search by words and vectors, one with a store that stays open, one that
opens a store for each question. "alone" is the same searches with nobody writing.

The second table has what else could be done, on the same file: one batch of 256 vectors written by a process that keeps
the file open and by one that opens and closes it, so that readers can have it in between; and the copy that is made
instead, once before and once after.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from support import (
    PROJECT_DIR,
    Warehouse,
    best_of,
    fill_chunks,
    parser,
    print_header,
    print_table,
    scratch_warehouse,
    unit_vectors,
    vector_column,
)

from vector.contracts.models import EmbeddingSpace
from vector.engines.read_copy import folder_beside, publish_copy
from vector.project.profile import Target, load_target
from vector.providers.hash import HashProvider
from vector.search.search import search
from vector.store import VectorStore
from vector.store.opening import open_to_search, open_to_write

DIMENSIONS = 384
# Embeds over and over, each time through the command's own way of opening and copying, until its stdin is closed.
EMBED = """
import sys, threading
from vector.embedding import EmbedOptions, embed_space
from vector.project.profile import load_target
from vector.store.opening import open_to_write, writing
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
target, rounds, written = load_target(sys.argv[1], sys.argv[1]), 0, 0
while not ended.is_set() or not rounds:
    with writing(target), open_to_write(target) as store:
        space = store.get_embedding_space_by_key("bench")
        written += embed_space(store, space, EmbedOptions(batch_size=64)).written
        rounds += 1
        store.engine.execute(f"delete from {store.engine.table('embedding')}")
print(rounds, written)
"""


def main() -> None:
    """Measures and prints the searches' times, and the ways that were weighed."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--chunks", type=int, default=20_000, metavar="N")
    arguments.add_argument("--searches", type=int, default=1_000, metavar="N")
    given = arguments.parse_args()
    os.environ["VECTOR_REDACT_QUERIES"] = "false"
    print_header(f"{given.searches:,} searches while {given.chunks:,} chunks are embedded")
    with scratch_warehouse() as warehouse, tempfile.TemporaryDirectory() as cache:
        os.environ["VECTOR_CACHE_DIR"] = cache
        target = _built(warehouse, given.chunks)
        _measure_searches(target, given.searches)
        print("\nThe ways, milliseconds:\n")
        _measure_ways(warehouse, given.repetitions)


def _built(warehouse: Warehouse, chunks: int) -> Target:
    warehouse.build()
    with warehouse.connect() as connection:
        fill_chunks(connection, chunks)
    for name in ("dbt_project.yml",):
        shutil.copy(PROJECT_DIR / name, warehouse.folder)
    os.environ["VECTOR_DUCKDB_PATH"] = str(warehouse.path)
    target = load_target(warehouse.folder, warehouse.folder)
    with open_to_write(target) as store:
        made = store.get_or_create_embedding_space("hash", "hash", DIMENSIONS, space_key="bench", is_active=True)
        assert made
    return target


def _measure_searches(target: Target, count: int) -> None:
    rows: list[list[object]] = []
    for what in ("alone", "while embed runs"):
        command = [sys.executable, "-c", EMBED, str(target.project_dir)]
        writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if what == "alone":  # once, so that there are vectors to search, and nobody writes then
            told = writer.communicate("")[0]
        started = time.perf_counter()
        ids, seconds = _searched(target, count)
        taken = time.perf_counter() - started
        if what != "alone":
            told = writer.communicate("")[0]
        with open_to_write(target) as store:
            logged = sum(store.get_retrieval(each) is not None for each in ids)
        rounds, written = map(int, told.splitlines()[-1].split())  # below DuckDB's bar of progress
        milliseconds = [1000 * each for each in seconds]
        rows.append(
            [what, len(set(ids)), logged, rounds, written, taken, statistics.median(milliseconds), max(milliseconds)]
        )
        if logged != count:
            raise SystemExit(f"{count - logged} of {count} searches are not in the log")
    print_table(["searches", "answered", "logged", "embeds", "vectors", "seconds", "median ms", "longest ms"], rows)


def _searched(target: Target, count: int) -> tuple[list[str], list[float]]:
    """Half of them by a store that stays, half by one each; their ids, and the seconds that each took."""
    ids: list[str] = []
    seconds: list[float] = []
    errors: list[Exception] = []

    def ask(open_one: Callable[[], VectorStore], stays: bool) -> None:
        try:
            for n in range(count // 2):
                started = time.perf_counter()
                handle = open_one()
                store = handle.latest()
                space: EmbeddingSpace = store.get_embedding_space_by_key("bench")
                found = search(store, space, HashProvider(space), f"{n} orbit", 10, redact=False)
                ids.append(found.retrieval.retrieval_id)
                seconds.append(time.perf_counter() - started)
                if not stays:
                    handle.close()
        except Exception as error:
            errors.append(error)

    with open_to_search(target, stays=True) as staying:
        threads = [
            threading.Thread(target=ask, args=(lambda: staying, True)),
            threading.Thread(target=ask, args=(lambda: open_to_search(target), False)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return ids, seconds


def _measure_ways(warehouse: Warehouse, repetitions: int) -> None:
    path = Path(shutil.copy(warehouse.path, warehouse.folder / "ways.duckdb"))
    batch = vector_column(unit_vectors(256, DIMENSIONS))
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table written (id uuid primary key, vector float[])")
    kept = duckdb.connect(str(path))

    def write(connection: duckdb.DuckDBPyConnection) -> None:
        import pyarrow as pa

        connection.register("batch", pa.table({"vector": batch}))
        connection.execute("insert into written select uuid(), vector from batch")

    def reopened() -> None:
        with duckdb.connect(str(path)) as connection:
            write(connection)

    def copied() -> None:
        shutil.rmtree(folder_beside(path), ignore_errors=True)
        publish_copy(path)

    first = best_of(repetitions, {"keeps it open": lambda: write(kept)})
    kept.close()
    others = best_of(repetitions, {"opens it for each batch": reopened, "copies the file": copied})
    baseline = first["keeps it open"]
    rows = [[name, 1000 * took, took / baseline] for name, took in {**first, **others}.items()]
    print_table(["what", "ms", "of a batch"], rows)
    print(f"\nThe file has {path.stat().st_size / 1e6:,.0f} MB.")


if __name__ == "__main__":
    main()
