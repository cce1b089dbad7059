"""Nothing to do: a second `dbt build`, a second embed and `space_coverage` over many chunks, against one scan of what
they must look at.

The two baselines are one anti-join of the current chunks with their embeddings, and one evaluation of `chunk_window`
with every column of it computed. "start-up" is the same command on a warehouse without any document; the ratio is
that of the time over start-up.

A second table has an hour with nothing to do: `vector refresh`, whose baseline is `dbt build && vector embed`.
"""

from __future__ import annotations

import os
import sys
import time

from support import (
    DBT_VARS,
    PROJECT_DIR,
    Warehouse,
    best_of,
    fill_embeddings,
    parser,
    print_header,
    print_table,
    scratch_warehouse,
)

CHUNKS_A_PAGE = 10
STEP = 466  # characters that a chunk of whole sentences takes on of such a page, by the policy of pages


def main() -> None:
    """Measures and prints the seconds of an idle build and embed."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--chunks", type=int, default=100_000, metavar="N")
    given = arguments.parse_args()
    print_header(f"Nothing to do, {given.chunks:,} chunks")
    with scratch_warehouse() as empty, scratch_warehouse() as full:
        empty.build()
        first = _fill(full, given.chunks)
        print(f"The first dbt build of all chunks took {first:.1f} s.\n")
        rows = _measure(empty, full, given.repetitions)
        hours = _measure_hour(full, given.repetitions)
    print_table(["what", "seconds", "start-up", "over start-up", "baseline", "baseline s", "ratio"], rows)
    print()
    print_table(["an idle hour", "seconds", "of processor", "ratio of seconds", "ratio of processor"], hours)


def _fill(warehouse: Warehouse, chunk_count: int) -> float:
    with warehouse.connect() as connection:
        connection.execute(
            """
            insert into bench.page
            select
                concat('p', n) as page_id,
                json_object(
                    'title', concat('Page ', n), 'lang', 'en', 'tags', json_array('bench'),
                    'body', json_object(
                        'text', left(repeat(concat(md5(n::varchar), ' is the digest of this page. '), ?), ?))
                )::varchar as payload_json,
                timestamp '2026-01-01' as fetched_utc
            from range(?) as numbers (n)
            """,
            [CHUNKS_A_PAGE * STEP // 60, CHUNKS_A_PAGE * STEP, chunk_count // CHUNKS_A_PAGE],
        )
    started = time.perf_counter()
    warehouse.build()
    seconds = time.perf_counter() - started
    with warehouse.connect() as connection:
        spaces = connection.execute("select embedding_space_id, dimensions from vector.embedding_space").fetchall()
        for space_id, dimensions in spaces:
            fill_embeddings(connection, space_id, dimensions)
        ((pending,),) = connection.execute("select count(*) from vector.embedding_pending").fetchall()
        ((chunks,),) = connection.execute("select count(*) from vector.chunk").fetchall()
        connection.execute("checkpoint")
    if pending or abs(chunks - chunk_count) > chunk_count / 20:
        raise SystemExit(f"the warehouse has {chunks} chunks, {pending} of them pending")
    return seconds


def _measure(empty: Warehouse, full: Warehouse, repetitions: int) -> list[list]:
    anti_join, window = "one anti-join", "one chunk_window"
    commands = {
        "dbt build, models only": (("dbt", "build", "--exclude-resource-type", "test", "unit_test"), window),
        "dbt build, with tests": (("dbt", "build"), window),
        "vector embed": (("embed",), anti_join),
    }
    baselines = {**{name: baseline for name, (_, baseline) in commands.items()}, "space_coverage": anti_join}
    subjects = {
        anti_join: lambda: _timed_query(
            full,
            "select count(*) from vector.chunk as chunk cross join vector.embedding_space as space"
            " where chunk.retired_utc is null and space.is_active and not exists (select 1 from vector.embedding"
            " where embedding.chunk_id = chunk.chunk_id and embedding.embedding_space_id = space.embedding_space_id"
            " and embedding.input_content_sha256 = chunk.content_sha256)",
        ),
        window: lambda: _timed_query(full, "select bit_xor(hash(columns(*))) from vector.chunk_window"),
    }
    for name, (command, _) in commands.items():
        for label, warehouse in (("start-up", empty), ("full", full)):
            subjects[f"{name}, {label}"] = lambda command=command, warehouse=warehouse: _run(warehouse, command)
    for label, warehouse in (("start-up", empty), ("full", full)):
        subjects[f"space_coverage, {label}"] = lambda warehouse=warehouse: _timed_query(
            warehouse, "select * from vector.space_coverage"
        )
    seconds = best_of(repetitions, subjects)
    rows = []
    for name, baseline in baselines.items():
        start_up, total = seconds[f"{name}, start-up"], seconds[f"{name}, full"]
        over = total - start_up
        rows.append([name, total, start_up, over, baseline, seconds[baseline], over / seconds[baseline]])
    return rows


def _measure_hour(full: Warehouse, repetitions: int) -> list[list]:
    """Seconds, and those of the processor, of one idle hour; the best of each."""
    hours = {
        "dbt build && vector embed": lambda: (_run(full, ("dbt", "build")), _run(full, ("embed",))),
        "vector refresh": lambda: _refresh(full),
    }
    found = {name: (float("inf"), float("inf")) for name in hours}
    for _ in range(repetitions):
        for name, hour in hours.items():
            before = os.times()
            hour()
            after = os.times()
            processor = after.children_user + after.children_system - before.children_user - before.children_system
            seconds, least = found[name]
            found[name] = min(seconds, after.elapsed - before.elapsed), min(least, processor)
    (old, old_processor), *_ = found.values()
    return [
        [name, seconds, processor, seconds / old, processor / old_processor]
        for name, (seconds, processor) in found.items()
    ]


def _refresh(warehouse: Warehouse) -> None:
    folders = ("--project-dir", PROJECT_DIR, "--profiles-dir", warehouse.folder, "--vars", DBT_VARS)
    scripts = str(PROJECT_DIR / "scripts")
    code = f"import sys; sys.path.insert(0, {scripts!r}); from vector.cli import main; sys.exit(main())"
    apart = {"DBT_TARGET_PATH": str(warehouse.folder / "target"), "DBT_LOG_PATH": str(warehouse.folder / "logs")}
    output = warehouse.run([sys.executable, "-c", code, "refresh", "--quiet", *folders], **apart)
    if "nothing new or changed" not in output:
        raise SystemExit(f"refresh found something to do:\n{output}")


def _timed_query(warehouse: Warehouse, sql: str) -> float:
    with warehouse.connect() as connection:
        started = time.perf_counter()
        connection.execute(sql).fetchall()
        return time.perf_counter() - started


def _run(warehouse: Warehouse, command: tuple[str, ...]) -> None:
    program, *arguments = command
    if program == "dbt":
        output = warehouse.dbt(*arguments)
        if " inserted, " in output:
            raise SystemExit(f"dbt found something to do:\n{output}")
    else:
        script = PROJECT_DIR / "scripts" / f"{program}.py"
        folders = ("--project-dir", PROJECT_DIR, "--profiles-dir", warehouse.folder)
        warehouse.run([sys.executable, script, *folders, *arguments])


if __name__ == "__main__":
    main()
