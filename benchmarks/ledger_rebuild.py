"""The rebuild of a ledger by `dbt run-operation upgrade_ledgers` on DuckDB, against plain `create table as` copies.

`embedding` has no children: it alone is rebuilt. `chunk` is rebuilt with all that refers to it: `chunk_version`,
`embedding`, and the empty ones. "start-up" is the same command where nothing is due, and is taken off. GB are of the
database's file, before and after.
"""

from __future__ import annotations

import shutil
import time

import duckdb
from support import (
    Warehouse,
    best_of,
    fill_chunks,
    fill_embeddings,
    parser,
    print_header,
    print_table,
    scratch_warehouse,
)

# The ledger that was built otherwise, what of it, and the tables with rows that are rebuilt for it.
CASES = {
    "embedding": ("input_tokens", ("embedding",)),
    "chunk": ("byte_count", ("chunk", "chunk_version", "embedding")),
}
FAMILY = ("chunk", "chunk_version", "embedding", "embedding_failure", "retrieval_hit")


def main() -> None:
    """Measures and prints the seconds of both rebuilds."""
    arguments = parser(__doc__, repetitions=1)
    arguments.add_argument("--rows", type=int, default=100_000, metavar="N", help="chunks, each with one vector of 384")
    given = arguments.parse_args()
    print_header(f"Ledger rebuild, {given.rows:,} chunks")
    rows = []
    for ledger, (column, tables) in CASES.items():
        with scratch_warehouse() as warehouse:
            rows.append([ledger, *_measure(warehouse, ledger, column, tables, given)])
    headers = ["ledger", "rows copied", "seconds", "start-up", "copies s", "ratio", "GB before", "GB after"]
    print_table(headers, rows)


def _measure(warehouse: Warehouse, ledger: str, column: str, tables: tuple[str, ...], given) -> list:
    warehouse.build()
    with warehouse.connect() as connection:
        _build_otherwise(connection, ledger, column)
        fill_chunks(connection, given.rows)
        ((space_id, dimensions),) = connection.execute(
            "select embedding_space_id, dimensions from vector.embedding_space"
        ).fetchall()
        fill_embeddings(connection, space_id, dimensions)
        connection.execute("checkpoint")
        ((count,),) = connection.execute(
            f"select {' + '.join(f'(select count(*) from vector.{table})' for table in tables)}"
        ).fetchall()
    size = warehouse.path.stat().st_size
    warehouse.path.rename(warehouse.folder / "kept.duckdb")

    def fresh() -> None:
        shutil.copy(warehouse.folder / "kept.duckdb", warehouse.path)

    def rebuild() -> float:
        fresh()
        return _timed(lambda: warehouse.dbt("run-operation", "upgrade_ledgers"))

    def copies() -> float:
        fresh()
        with warehouse.connect() as connection:
            return _timed(
                lambda: [
                    connection.execute(f"create table vector.{table}_copy as select * from vector.{table}; checkpoint")
                    for table in tables
                ]
            )

    best = best_of(given.repetitions, {"copies": copies, "rebuild": rebuild})
    grown = warehouse.path.stat().st_size
    start_up = best_of(given.repetitions, {"": lambda: warehouse.dbt("run-operation", "upgrade_ledgers")})[""]
    seconds = best["rebuild"] - start_up
    return [count, seconds, start_up, best["copies"], seconds / best["copies"], size / 1e9, grown / 1e9]


def _build_otherwise(connection: duckdb.DuckDBPyConnection, ledger: str, column: str) -> None:
    """Makes a ledger and its children anew, empty, with a column of another type."""
    made = dict(
        connection.execute("select table_name, sql from duckdb_tables() where schema_name = 'vector'").fetchall()
    )
    for table in reversed(FAMILY):
        connection.execute(f"drop table vector.{table}")
    for table in FAMILY:
        changed = made[table].replace(f"{column} INTEGER", f"{column} BIGINT") if table == ledger else made[table]
        connection.execute(changed)


def _timed(subject) -> float:
    started = time.perf_counter()
    subject()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
