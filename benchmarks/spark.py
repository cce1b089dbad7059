"""Embedding and search on Spark: seconds of each step, over chunks that Spark itself has made, without dbt.

The space is of the `hash` provider, which takes no time worth measuring, so what is left is Spark's: the plan, the
executors' start, landing, and the merge. Search compares each vector with one question, and with 200 in one pass. Run
it with `--master local[1]` and `local[2]`, or with the address of a cluster, to see what a further executor brings. The
environment is that of the tests (docs/spark.md).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import PROJECT_DIR, parser, print_header, print_table

sys.path += [str(PROJECT_DIR / "tests" / "spark"), str(PROJECT_DIR / "tests" / "python" / "helpers")]

QUESTIONS = 200
DIMENSIONS = 384


def main() -> None:
    """Measures and prints each step."""
    arguments = parser(__doc__, repetitions=1)
    arguments.add_argument("--chunks", type=int, default=200_000, metavar="N")
    arguments.add_argument("--master", default="local[2]", metavar="M", help="as for Spark (default %(default)s)")
    given = arguments.parse_args()
    print_header(f"Spark at {given.master}: {given.chunks:,} chunks of {DIMENSIONS} dimensions")
    from conftest import make_lake

    with tempfile.TemporaryDirectory() as folder:
        lake = make_lake(Path(folder))
        os.environ.update(lake.env, VECTOR_SPARK_MASTER=given.master, VECTOR_CACHE_MB="0", VECTOR_CACHE_DIR="")
        rows = _measured(lake.project, given.chunks)
    print_table(["step", "seconds", "rows a second"], rows)
    print(f"Load average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.")


def _measured(project: Path, chunks: int) -> list[list[Any]]:
    import numpy as np
    from own_lake import make_tables

    from vector.embedding.run import embed_space
    from vector.engines import engine_for_target
    from vector.engines.base import SearchRequest
    from vector.engines.spark.search import search_many
    from vector.project.profile import load_target
    from vector.store import VectorStore

    rows: list[list[Any]] = []

    def timed(step: str, count: int, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        rows.append([step, seconds, count / seconds])
        return result

    engine = timed("session", 1, lambda: engine_for_target(load_target(project)))
    make_tables(engine.session)
    _write_chunks(engine, chunks)
    store = VectorStore(engine=engine)
    space = store.get_or_create_embedding_space("hash", "hash", DIMENSIONS)
    done = timed("embed, first", chunks, lambda: embed_space(store, space))
    rows.append(["of which merges", done.seconds_in_database, done.written / done.seconds_in_database])
    timed("embed, nothing to do", 1, lambda: embed_space(store, space))
    questions = np.random.default_rng(1).normal(size=(QUESTIONS, DIMENSIONS)).astype(np.float32)
    request = SearchRequest(space.embedding_space_id, questions[0], "cosine", 10)
    search_many(engine, request, questions[:1])
    timed("search, one question", chunks, lambda: search_many(engine, request, questions[:1]))
    many = f"search, {QUESTIONS} questions in one pass"
    timed(many, chunks * QUESTIONS, lambda: search_many(engine, request, questions))
    ((size,),) = engine.query(f"select sum(file_size_in_bytes) from {engine.table('embedding')}.files")
    rows.append(["bytes a vector's row", size / chunks, None])
    engine.close()
    return rows


def _write_chunks(engine: Any, chunks: int) -> None:
    moment = "timestamp_ntz'2026-01-01 00:00:00'"
    engine.session.sql(
        f"""
        insert into vector.chunk (chunk_id, source_id, source_type, source_ref_json, offsets_json, content,
            content_sha256, byte_count, policy_json, managed_by, created_utc, updated_utc)
        select sha2(concat('chunk ', id), 256), concat('source ', id div 10), 'page', '{{}}', '{{}}', content,
            sha2(content, 256), length(content), '{{}}', 'dbt', {moment}, {moment}
        from (select id, rpad(concat('text ', id, ' '), 560, sha2(cast(id as string), 512)) as content
            from range({chunks}))"""
    ).collect()
    engine.session.sql(
        "insert into vector.chunk_version select chunk_id, content_sha256, content, created_utc from vector.chunk"
    ).collect()


if __name__ == "__main__":
    main()
