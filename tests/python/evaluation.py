"""What the suites of evaluation share: judged questions, logged runs, and the metrics computed another way."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
from support import ScratchProject

from vector.contracts.models import EmbeddingSpace, VectorRetrieval, VectorRetrievalHit
from vector.engines.duckdb import DuckDBEngine
from vector.store import VectorStore

REPLICATES, SEED = 1000, "1"
DAY = datetime(2026, 5, 1, 10, tzinfo=timezone.utc)

# Question to the hits' chunks, best first; question to the judged sources' grades.
Run = Mapping[str, Sequence[str]]
Judgments = Mapping[str, Mapping[str, int]]


@dataclass
class Warehouse:
    """A built warehouse of its own, without logged searches, and two spaces to evaluate."""

    store: VectorStore
    connection: duckdb.DuckDBPyConnection
    spaces: tuple[EmbeddingSpace, EmbeddingSpace]
    sources: Mapping[str, str]

    def judge(self, judgments: Judgments) -> None:
        """Replaces all questions and judgments."""
        self.connection.execute("delete from eval_query; delete from eval_judgment")
        queries = [(query, f"{query}?", "demo") for query in judgments]
        grades = [(query, source, grade) for query, found in judgments.items() for source, grade in found.items()]
        for table, rows in (("eval_query", queries), ("eval_judgment", grades)):
            if rows:
                self.connection.executemany(f"insert into {table} values (?, ?, ?)", rows)

    def forget(self) -> None:
        """Deletes every logged search."""
        self.connection.execute("delete from retrieval_hit")
        self.connection.execute("delete from retrieval")

    def log(self, space: int, run: Run, day: int = 0, top_k: int = 300, **optional: Any) -> None:
        """Logs a run as the searches of one day; scores fall from 1 by a hundredth a rank."""
        texts = dict(self.rows("select query_id, query_text from eval_query"))
        optional.setdefault("policy", {"method": "dense"})
        retrievals = [
            VectorRetrieval.create_new(
                self.spaces[space].embedding_space_id, texts[query], top_k, eval_query_id=query,
                created_utc=DAY + timedelta(days=day), **optional,
            )
            for query in run
        ]  # fmt: skip
        hits = [
            VectorRetrievalHit(retrieval.retrieval_id, rank, chunk, 1 - rank / 100)
            for retrieval in retrievals
            for rank, chunk in enumerate(run[retrieval.eval_query_id], 1)
        ]
        self.store.save_retrievals(retrievals, hits)

    def ranking(self, chunks: Sequence[str]) -> list[str]:
        """The sources of chunks, each at its first place."""
        return list(dict.fromkeys(self.sources[chunk] for chunk in chunks))

    def rows(self, sql: str, *parameters: Any) -> list[tuple]:
        return self.connection.execute(sql, parameters).fetchall()

    def records(self, sql: str) -> list[dict[str, Any]]:
        result = self.connection.execute(sql)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@contextmanager
def open_warehouse(project: ScratchProject, path: Path) -> Iterator[Warehouse]:
    """A copy of the project's database at the path, which must end in warehouse.duckdb."""
    project.reset()
    path.write_bytes(project.database_path.read_bytes())
    with duckdb.connect(str(path)) as connection:
        connection.execute("use warehouse.vector")
        store = VectorStore(engine=DuckDBEngine(connection))
        other = EmbeddingSpace.create_new("hash", "other", 8, space_key="other")
        store.save_embedding_space(other)
        spaces = (store.get_embedding_space_by_key("hash"), other)
        sources = dict(connection.execute("select chunk_id, source_id from chunk").fetchall())
        warehouse = Warehouse(store, connection, spaces, sources)
        warehouse.forget()
        yield warehouse


def resamples(query_count: int) -> tuple[list[list[int]], list[list[int]]]:
    """The drawn positions and the signs of every replicate, by the scheme that docs/evaluation.md states."""
    digests = [
        [hashlib.sha256(f"{SEED}:{replicate}:{position}".encode()).digest() for position in range(query_count)]
        for replicate in range(REPLICATES)
    ]
    draws = [[int.from_bytes(digest[:4], "big") % query_count for digest in row] for row in digests]
    signs = [[-1 if digest[7] % 2 else 1 for digest in row] for row in digests]
    return draws, signs


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], p: float) -> float:
    """RBO by its definition, (1 - p) x the sum over all depths d of p^(d - 1) x agreement at d (Webber, Moffat and
    Zobel 2010, equation 4), the agreement beyond what was seen extrapolated as in their section 4.5."""
    short, long = sorted((first, second), key=len)
    if not short:
        return 0.0
    seen = len(set(short) & set(long[: len(short)])) / len(short)
    total, agreement, depth = 0.0, 0.0, 1
    while p ** (depth - 1) > 1e-14:
        if depth <= len(long):
            common = len(set(short[:depth]) & set(long[:depth]))
            agreement = (common + seen * max(depth - len(short), 0)) / depth
        total += (1 - p) * p ** (depth - 1) * agreement
        depth += 1
    return total
