"""What the suites of evaluation share: judged questions, logged runs, and the metrics computed another way."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
from support import ScratchProject

from vector.contracts.models import EmbeddingSpace, VectorRetrieval, VectorRetrievalHit
from vector.engines.duckdb import DuckDBEngine
from vector.store import VectorStore

METRICS = ("nDCG@10", "RR", "P@10", "R@10", "R@100")
EXACT = 1e-9
REPLICATES, SEED = 1000, "1"
DAY = datetime(2026, 5, 1, 10, tzinfo=timezone.utc)

T = TypeVar("T")

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
        """Replaces all questions and judgments, and deletes every logged search."""
        self.forget()
        self.connection.execute("delete from eval_query; delete from eval_judgment")
        queries = [(query, f"{query}?", "demo") for query in judgments]
        grades = [(query, source, grade) for query, found in judgments.items() for source, grade in found.items()]
        for table, rows in (("eval_query", queries), ("eval_judgment", grades)):
            columns = [list(column) for column in zip(*rows, strict=True)]
            if columns:
                self.connection.execute(f"insert into {table} select unnest(?), unnest(?), unnest(?)", columns)

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
def open_warehouse(
    project: ScratchProject, folder: Path, keys: tuple[str, str] = ("first", "second")
) -> Iterator[Warehouse]:
    """A copy of the project's database in the folder, with two new spaces of these keys."""
    project.reset()
    path = folder / "warehouse.duckdb"
    path.write_bytes(project.database_path.read_bytes())
    with duckdb.connect(str(path)) as connection:
        connection.execute("use warehouse.vector")
        store = VectorStore(engine=DuckDBEngine(connection))
        first, second = (EmbeddingSpace.create_new("hash", key, 8, space_key=key) for key in keys)
        store.save_embedding_spaces([first, second])
        sources = dict(connection.execute("select chunk_id, source_id from chunk").fetchall())
        warehouse = Warehouse(store, connection, (first, second), sources)
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


def named(values: Iterable[T]) -> dict[str, T]:
    """The values of as many questions: q000, q001 ..."""
    return {f"q{i:03}": value for i, value in enumerate(values)}


def scored(
    warehouse: Warehouse, chunks: Sequence[str], query_count: int, space: int = 0, seed: int = 1, keep: bool = False
) -> dict[str, np.ndarray]:
    """Logs random hits for random judgments and gives each metric's scores, in the order of the questions; with
    `keep`, those judgments and searches that are there stay."""
    random = np.random.default_rng(seed)
    if not keep:
        sources = sorted({warehouse.sources[chunk] for chunk in chunks})
        grades = (
            {str(each): int(random.integers(1, 4)) for each in random.choice(sources, 3)} for _ in range(query_count)
        )
        warehouse.judge(named(grades))
    hits = (random.permutation(chunks)[: random.integers(1, 20)].tolist() for _ in range(query_count))
    warehouse.log(space, named(hits))
    rows = warehouse.rows(
        """
        select eval_score.metric, list(eval_score.score order by eval_score.query_id)
        from eval_score inner join eval_retrieval using (retrieval_id)
        where eval_retrieval.embedding_space_id = ? group by eval_score.metric
        """,
        warehouse.spaces[space].embedding_space_id,
    )
    return {metric: np.array(scores) for metric, scores in rows}
