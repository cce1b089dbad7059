"""A warehouse that grows: each step of its life at N chunks beside the same step at a tenth of them.

Pages of ten chunks are read, cut and registered by `dbt build` (models only), embedded into a space of the `hash`
provider, which takes no time worth measuring, and then again with nothing changed and with one page in a hundred
changed. Every step is a process of its own: its seconds, its processor time and its peak resident memory. The ratio is
that of the processor time a chunk to the tenth's; that of a change is to the step with nothing changed, too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from support import PROJECT_DIR, Warehouse, in_own_process, parser, print_header, print_table, scratch_warehouse

from vector.store import VectorStore

CHUNKS_A_PAGE = 10
PARAGRAPH = 560
SPACE = {"provider": "hash", "model_name": "hash", "dimensions": 384, "space_key": "scale"}


@dataclass
class Figures:
    """Of a process: seconds, seconds of processor, peak resident MB; and the file's MB after it."""

    seconds: float
    processor: float
    memory: float
    file: float


def main() -> None:
    """Measures and prints each step at both sizes."""
    arguments = parser(__doc__, repetitions=1)
    arguments.add_argument("--chunks", type=int, default=1_000_000, metavar="N")
    given = arguments.parse_args()
    print_header(f"A warehouse of {given.chunks:,} chunks")
    found = {}
    for chunks in (given.chunks // 10, given.chunks):
        with scratch_warehouse() as warehouse:
            found[chunks] = _measure(warehouse, chunks)
    less, more = found.values()
    rows = []
    for step, of_more in more.items():
        a_chunk = of_more.processor / less[step].processor / 10
        rows.append(
            [step, of_more.seconds, of_more.processor, of_more.memory, of_more.file, less[step].processor, a_chunk]
        )
    print_table(["step", "seconds", "of processor", "peak MB", "file MB", "processor, a tenth", "ratio a chunk"], rows)
    for what in ("dbt build", "embed"):
        ratio = more[f"{what}, 1% changed"].processor / more[f"{what}, nothing changed"].processor
        print(f"{what}: 1% changed takes {ratio:.2f} times the processor time of nothing changed.")
    print(f"First embed: {given.chunks / more['embed, first'].seconds:,.0f} rows/s.")
    print(f"Load average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.")


def _measure(warehouse: Warehouse, chunks: int) -> dict[str, Figures]:
    pages = chunks // CHUNKS_A_PAGE
    _write_pages(warehouse, "true", pages)
    found = {"dbt build, first": _build(warehouse)}
    _add_space(warehouse)
    found["embed, first"] = _embed(warehouse)
    found["dbt build, nothing changed"] = _build(warehouse)
    found["embed, nothing changed"] = _embed(warehouse)
    _write_pages(warehouse, "n % 100 = 7", pages)
    found["dbt build, 1% changed"] = _build(warehouse)
    found["embed, 1% changed"] = _embed(warehouse)
    return found


def _write_pages(warehouse: Warehouse, which: str, pages: int) -> None:
    """Writes the pages that the condition names anew: ten paragraphs of words that were not there before."""
    with warehouse.connect() as connection:
        numbers = f"range({pages}) as numbers (n) where {which}"
        connection.execute(f"delete from bench.page where page_id in (select concat('p', n) from {numbers})")
        connection.execute(
            f"""
            insert into bench.page
            select
                concat('p', n) as page_id,
                json_object('title', concat('Page ', n), 'lang', 'en', 'body', json_object('text', (
                    select string_agg(left(repeat(concat(md5(concat(n, p, ?)), ' is new. '), 14), {PARAGRAPH}), chr(10))
                    from range({CHUNKS_A_PAGE}) as paragraphs (p)
                )))::varchar as payload_json,
                timestamp '2026-01-01' as fetched_utc
            from {numbers}
            """,
            [str(time.time())],
        )
        connection.execute("checkpoint")


def _add_space(warehouse: Warehouse) -> None:
    with warehouse.connect() as connection:
        connection.execute("update vector.embedding_space set is_active = false")
        VectorStore(connection).get_or_create_embedding_space(**SPACE)


def _build(warehouse: Warehouse) -> Figures:
    return _figures(warehouse, Warehouse.build)


def _embed(warehouse: Warehouse) -> Figures:
    return _figures(warehouse, _run_embed)


def _run_embed(warehouse: Warehouse) -> None:
    script = PROJECT_DIR / "scripts" / "embed.py"
    folders = ("--project-dir", PROJECT_DIR, "--profiles-dir", warehouse.folder)
    warehouse.run([sys.executable, script, "--space", "scale", *folders])


def _figures(warehouse: Warehouse, step: Callable[[Warehouse], object]) -> Figures:
    (seconds, processor, memory), _ = in_own_process(_used, warehouse, step)
    files = sum(each.stat().st_size for each in warehouse.folder.glob("warehouse.duckdb*") if each.is_file())
    return Figures(seconds, processor, memory, files / 1e6)


def _used(warehouse: Warehouse, step: Callable[[Warehouse], object]) -> tuple[float, float, float]:
    """Of the command that a step runs, the only one that this process starts. Windows does not say it."""
    import resource  # here, as it is not there on Windows, where the other benchmarks' imports must work

    started = time.perf_counter()
    step(warehouse)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


if __name__ == "__main__":
    main()
