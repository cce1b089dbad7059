"""SQL Server: rows/s of save_embeddings against plain parametrised INSERTs in one transaction, one a row.

VECTOR_TEST_SQLSERVER is the ODBC connection string of a server (docs/sqlserver.md); without it nothing is measured. The
tables are made in a schema of their own, with the ledgers' keys, and dropped afterwards. `--latency` puts a network in
between: a local proxy that holds each answer back.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from support import best_of, parser, print_header, print_table, unit_vectors

from vector.contracts.identity import compute_content_hash
from vector.contracts.ledgers import CHUNK, EMBEDDING, LEDGERS, Column, Ledger
from vector.contracts.models import EmbeddingSpace, VectorEmbedding
from vector.engines.sqlserver.engine import SqlServerEngine
from vector.errors import ConfigurationError
from vector.store import VectorStore
from vector.store.store import RELATIONS

DRIVERS = ("pyodbc", "mssql-python")
_TYPES = {"integer": "int", "real": "float", "boolean": "bit", "utc": "datetime2(6)", "vector": "varchar(max)"}
_BIN2 = "collate Latin1_General_100_BIN2"
_VIEWS = [name for name in RELATIONS if name not in {ledger.table for ledger in LEDGERS} | {"chunk_version"}]


def main() -> None:
    """Measures and prints the rows a second."""
    arguments = parser(__doc__, repetitions=2)
    arguments.add_argument("--rows", type=int, default=10_000, metavar="N")
    arguments.add_argument("--dimensions", type=int, default=384, metavar="N")
    arguments.add_argument(
        "--batches", type=int, nargs="+", default=[256, 2_000, 10_000], metavar="N", help="rows a save"
    )
    arguments.add_argument("--drivers", nargs="+", choices=DRIVERS, default=DRIVERS)
    arguments.add_argument(
        "--latency", type=float, nargs="+", default=[0], metavar="MS", help="milliseconds of each round trip, added"
    )
    given = arguments.parse_args()
    connection = os.environ.get("VECTOR_TEST_SQLSERVER", "")
    if not connection:
        print("Skipped: VECTOR_TEST_SQLSERVER is not set; give it an ODBC connection string (docs/sqlserver.md)")
        sys.exit(0)
    print_header(f"Writing to SQL Server, {given.rows:,} rows at {given.dimensions} dimensions")
    rows = []
    for latency in given.latency:
        for driver in given.drivers:
            with _behind_a_network(connection, latency) as reached:
                measured = _measure(driver, reached, given.rows, given.dimensions, given.batches, given.repetitions)
                rows += [[driver, latency or "-", *row] for row in measured]
    print_table(["driver", "added ms", "what", "rows/s", "of plain INSERTs"], rows)


def _measure(
    driver: str, connection: str, count: int, dimensions: int, batches: Sequence[int], repetitions: int
) -> list[list]:
    engine = SqlServerEngine(_connect(driver, connection), f"vector_bench_{secrets.token_hex(4)}")
    try:
        space = _prepare(engine, count, dimensions)
        store = VectorStore(engine=engine)
        vectors = unit_vectors(count, dimensions)
        records = [
            VectorEmbedding.create_new(chunk_id, space.embedding_space_id, content_sha256, vectors[n])
            for n, (chunk_id, content_sha256) in enumerate(map(_chunk, range(count)))
        ]
        names = (*EMBEDDING.column_names, "dimensions")
        ready = [
            (*row[:position], engine.encode_vector(row[position]), *row[position + 1 :], dimensions)
            for position in [EMBEDDING.column_names.index("vector")]
            for row in map(EMBEDDING.to_row, records)
        ]
        insert = f"insert into {engine.table('embedding')} ({', '.join(names)}) values ({', '.join('?' * len(names))})"

        def emptied() -> None:
            engine.execute(f"delete from {engine.table('embedding')}")

        def plain() -> float:
            emptied()
            engine.connection.autocommit = False
            started = time.perf_counter()
            cursor = engine.connection.cursor()
            for row in ready:
                cursor.execute(insert, row)
            cursor.close()
            engine.connection.commit()
            seconds = time.perf_counter() - started
            engine.connection.autocommit = True
            return seconds

        def save(batch: int) -> float:
            emptied()
            started = time.perf_counter()
            written = sum(store.save_embeddings(records[at : at + batch]).inserted for at in range(0, count, batch))
            seconds = time.perf_counter() - started
            if written != count:
                raise SystemExit(f"save_embeddings wrote {written} of {count}")
            return seconds

        subjects: dict[str, Any] = {"plain INSERTs, one transaction": plain}
        for batch in batches:
            subjects[f"save_embeddings, batches of {batch:,}"] = lambda batch=batch: save(batch)
        seconds = best_of(repetitions, subjects)
    finally:
        _drop(engine)
    (baseline, *_) = seconds.values()
    return [[name, count / each, baseline / each] for name, each in seconds.items()]


def _connect(driver: str, connection: str) -> Any:
    if driver == "pyodbc":
        import pyodbc

        return pyodbc.connect(connection, autocommit=True)
    import mssql_python

    # It has a driver of its own.
    return mssql_python.connect(re.sub(r"driver=(\{[^}]*\}|[^;]*);?", "", connection, flags=re.I), autocommit=True)


def _chunk(n: int) -> tuple[str, str]:
    """A chunk's id and the hash of its text."""
    return compute_content_hash(f"chunk {n}"), compute_content_hash(f"text {n}")


def _prepare(engine: SqlServerEngine, count: int, dimensions: int) -> EmbeddingSpace:
    """The ledgers' tables with their keys, a space, and a version of each chunk."""
    engine.execute(f"create schema [{engine.schema}]")
    for ledger in LEDGERS:
        engine.execute(_table_sql(engine, ledger))
    engine.execute(
        f"create table {engine.table('chunk_version')} (chunk_id varchar(64) {_BIN2} not null,"
        f" content_sha256 varchar(64) {_BIN2} not null, content nvarchar(max) {_BIN2}, created_utc datetime2(6),"
        " primary key (chunk_id, content_sha256))"
    )
    engine.execute(
        f"alter table {engine.table('embedding')} add foreign key (chunk_id, input_content_sha256)"
        f" references {engine.table('chunk_version')} (chunk_id, content_sha256)"
    )
    for name in _VIEWS:
        engine.execute(f"create table {engine.table(name)} (n int)")
    columns = [column for column in CHUNK.columns if column.name in ("chunk_id", "content_sha256")]
    with engine.staged(columns, [_chunk(n) for n in range(count)]) as staged:
        engine.execute(
            f"insert into {engine.table('chunk_version')} (chunk_id, content_sha256)"
            f" select chunk_id, content_sha256 from {staged} as staged"
        )
    store = VectorStore(engine=engine)
    return store.get_or_create_embedding_space(provider="hash", model_name="hash", dimensions=dimensions)


def _table_sql(engine: SqlServerEngine, ledger: Ledger) -> str:
    columns = list(ledger.columns)
    if any(column.kind == "vector" for column in columns):
        columns.append(Column("dimensions", "dimensions", "integer"))
    definitions = [f"{column.name} {_type(column)}{' not null' * (column.name in ledger.key)}" for column in columns]
    return (
        f"create table {engine.table(ledger.table)} ({', '.join(definitions)}, primary key ({', '.join(ledger.key)}))"
    )


def _type(column: Column) -> str:
    if column.kind in ("text", "json"):
        return f"{'' if column.is_ascii else 'n'}varchar({column.length or 'max'}) {_BIN2}"
    return _TYPES[column.kind] + (f" {_BIN2}" if column.kind == "vector" else "")


def _drop(engine: SqlServerEngine) -> None:
    """What _prepare made, as far as it came."""
    with suppress(Exception):
        engine.connection.rollback()
    engine.connection.autocommit = True
    for name in ("embedding", *(ledger.table for ledger in LEDGERS), "chunk_version", *_VIEWS):
        engine.execute(f"drop table if exists {engine.table(name)}")
    engine.execute(f"drop schema if exists [{engine.schema}]")
    engine.close()


@contextmanager
def _behind_a_network(connection: str, milliseconds: float) -> Iterator[str]:
    """The connection string of a proxy to the same server, whose round trips take this much longer."""
    if not milliseconds:
        yield connection
        return
    found = re.search(r"(?i)\bserver=(?:tcp:)?([^,;]+)(?:,(\d+))?", connection)
    if found is None:
        raise ConfigurationError("VECTOR_TEST_SQLSERVER has no SERVER")
    listener = socket.create_server(("127.0.0.1", 0))
    address = (found[1], int(found[2] or 1433))
    threading.Thread(target=_accept, args=(listener, address, milliseconds / 1000), daemon=True).start()
    try:
        yield connection.replace(found[0], f"SERVER=127.0.0.1,{listener.getsockname()[1]}")
    finally:
        listener.close()


def _accept(listener: socket.socket, address: tuple[str, int], seconds: float) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(address)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_forward, args=(client, server, 0.0), daemon=True).start()
            threading.Thread(target=_forward, args=(server, client, seconds), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket, seconds: float) -> None:
    with suppress(OSError), source, target:
        while data := source.recv(1 << 20):
            time.sleep(seconds)
            target.sendall(data)


if __name__ == "__main__":
    main()
