"""Cutting, embedding and search on Spark: seconds of each step over documents that Spark itself has made.

dbt builds the demo's ledgers; then `document_input` is replaced by drawn English of some 7,000 characters a document,
which the demo's policy of paragraphs cuts into some 16 chunks. These are embedded with the static model, whose files
pip has installed, and compared with one question and with 200 in one pass. `--workers N` starts a standalone cluster of
N worker processes of one core each, on this machine; without, Spark runs in the driver (`--master`). Run it with 1 and
with 2 workers to see what one more brings. The environment is that of the tests (docs/spark.md).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support import ASCII_WORDS, PROJECT_DIR, parser, print_header, print_table

sys.path[:0] = [str(PROJECT_DIR / "tests" / "spark"), str(PROJECT_DIR / "tests" / "python" / "helpers")]
del sys.modules["support"]  # the tests' helpers have one of this name, too

QUESTIONS = 200
MODEL = ("static", "wordllama-l2-supercat-256", 256)
CHUNKS_A_DOCUMENT = 16
# Words of four letters on average, and a stop after each eleventh; lines of some 300 characters.
WORDS_A_DOCUMENT = 1_250
_TEXT = (
    "array_join(transform(sequence(1, {words}), i -> concat(element_at(array({vocabulary}),"
    " cast(pmod(xxhash64(id, i), {size}) as int) + 1), case when i % 66 = 0 then '.\\n\\n' when i % 11 = 0 then '. '"
    " else ' ' end)), '')"
)
_DOCUMENTS = (
    "select concat('document ', id) as source_id, 'bench' as source_type, '{{}}' as source_ref_json,"
    " cast(null as string) as title, content, cast(null as string) as tags_json,"
    " cast(null as timestamp_ntz) as updated_utc, cast(null as string) as unfit_updated_utc,"
    " 'bench' as document_model from {given}"
)


def main() -> None:
    """Measures and prints each step."""
    arguments = parser(__doc__, repetitions=1)
    arguments.add_argument("--chunks", type=int, default=200_000, metavar="N", help="about so many")
    arguments.add_argument("--workers", type=int, default=0, metavar="N", help="processes of a standalone cluster")
    arguments.add_argument("--master", default="local[2]", metavar="M", help="without --workers")
    given = arguments.parse_args()
    from conftest import make_lake

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        master = stack.enter_context(_cluster(given.workers, folder)) if given.workers else given.master
        print_header(f"Spark 3.5 at {master}, {given.workers} workers: about {given.chunks:,} chunks")
        lake = make_lake(folder)
        lake.env.update(VECTOR_SPARK_MASTER=master, VECTOR_CACHE_MB="0", VECTOR_CACHE_DIR="")
        os.environ.update(lake.env)
        rows: list[list[Any]] = []
        _cut(lake, given.chunks // CHUNKS_A_DOCUMENT, rows)
        _embed_and_search(lake.project, rows)
        print_table(["step", "seconds", "a second"], rows)
        print(f"Load average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.")


@contextmanager
def _cluster(workers: int, folder: Path) -> Iterator[str]:
    """A master and workers of one core each, in processes of this machine; the master's address."""
    import pyspark

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [str(Path(pyspark.__file__).parent / "bin" / "spark-class")]
    env = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_WORKER_DIR": str(folder / "work"),
           "PYTHONPATH": str(PROJECT_DIR / "scripts"), "SPARK_NO_DAEMONIZE": "1"}  # fmt: skip
    quiet: dict[str, Any] = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    address = f"spark://127.0.0.1:{port}"
    master = "org.apache.spark.deploy.master.Master"
    worker = "org.apache.spark.deploy.worker.Worker"
    at = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]
    processes = [subprocess.Popen([*start, master, *at], **quiet)]
    time.sleep(5)
    for _ in range(workers):
        of = ["--cores", "1", "--memory", "2g", "--host", "127.0.0.1", "--webui-port", "0", address]
        processes.append(subprocess.Popen([*start, worker, *of], **quiet))
    time.sleep(5)
    try:
        yield address
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def _timed(rows: list[list[Any]], step: str, count: int, work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    rows.append([step, seconds, count / seconds])
    return result


def _cut(lake: Any, documents: int, rows: list[list[Any]]) -> None:
    """Has dbt cut the documents; the first run over none tells what planning and empty statements take."""
    text = _TEXT.format(
        words=WORDS_A_DOCUMENT, size=len(ASCII_WORDS), vocabulary=", ".join(f"'{word}'" for word in ASCII_WORDS)
    )
    ledgers = ("run", "--select", "source_registry", "chunk", "chunk_version")
    lake.dbt("build", "--exclude-resource-type", "test", "unit_test")
    drawn = f"(select id, {text} as content from range(COUNT)) as drawn, {{given}}"
    for count in (0, documents):
        # A row of its own, as a view takes some; the documents are Spark's.
        select = _DOCUMENTS.replace("{given}", drawn.replace("COUNT", str(count)))
        lake.view("document_input", select, [(0,)], "one int")
        _timed(rows, "cut none: planning, and the demo's retired", 1, lambda: lake.dbt(*ledgers))
    (((chunks,),),) = lake.rows({"chunk": "count_if(retired_utc is null)"}).values()
    rows[-1] = [f"cut {chunks:,} chunks (three ledgers, by dbt)", rows[-1][1], chunks / rows[-1][1]]
    lake.close()


def _embed_and_search(project: Path, rows: list[list[Any]]) -> None:
    import numpy as np

    from vector.embedding.run import embed_space
    from vector.engines import engine_for_target
    from vector.engines.base import SearchRequest
    from vector.engines.spark.search import search_many
    from vector.project.profile import load_target
    from vector.store import VectorStore

    engine = _timed(rows, "session", 1, lambda: engine_for_target(load_target(project)))
    store = VectorStore(engine=engine)
    ((chunks,),) = engine.query(f"select count(*) from {engine.table('chunk')} where retired_utc is null")
    space = store.get_or_create_embedding_space(*MODEL)
    done = _timed(rows, f"embed {chunks:,} chunks", chunks, lambda: embed_space(store, space))
    rows.append(["  of which the model, in all tasks together", done.seconds_in_model, chunks / done.seconds_in_model])
    rows.append(["  of which merges", done.seconds_in_database, done.written / done.seconds_in_database])
    _timed(rows, "embed, nothing to do", 1, lambda: embed_space(store, space))
    questions = np.random.default_rng(1).normal(size=(QUESTIONS, space.dimensions)).astype(np.float32)
    request = SearchRequest(space.embedding_space_id, questions[0], "cosine", 10)
    search_many(engine, request, questions[:1])
    _timed(rows, "search, one question", chunks, lambda: search_many(engine, request, questions[:1]))
    many = f"search, {QUESTIONS} questions in one pass"
    _timed(rows, many, chunks * QUESTIONS, lambda: search_many(engine, request, questions))
    ((size,),) = engine.query(f"select sum(file_size_in_bytes) from {engine.table('embedding')}.files")
    rows.append(["bytes of a vector's row, as stored", size / chunks, 0])
    engine.close()


if __name__ == "__main__":
    main()
