"""What the suites of evaluation share: judged questions, logged runs, and their scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
from support import ScratchProject

from vector.contracts.models import (
    EmbeddingSpace,
    JobStatus,
    JobType,
    RunStatus,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorRun,
)
from vector.engines.duckdb.engine import DuckDBEngine
from vector.evaluation.intervals import measure_run
from vector.store import VectorStore

METRICS = ("nDCG@10", "RR", "P@10", "R@10", "R@100")
EXACT = 1e-9
DAY = datetime(2026, 5, 1, 10, tzinfo=UTC)

T = TypeVar("T")

# EvalQuery to the hits' chunks, best first; question to the judged sources' grades.
Run = Mapping[str, Sequence[str]]
Judgments = Mapping[str, Mapping[str, int]]


def ask_few(connection: duckdb.DuckDBPyConnection | DuckDBEngine) -> None:
    """Leaves the first 36 questions of the demo: a suite that asks all there are would take minutes."""
    others = "query_id like 'q%' and (query_id > 'q36' or length(query_id) > 3)"
    for table in ("eval_query", "eval_judgment"):
        connection.execute(f"delete from {table} where {others}")


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
        asked, judged = "eval_query (query_id, query_text, query_set)", "eval_judgment (query_id, source_id, relevance)"
        for table, rows in ((asked, queries), (judged, grades)):
            columns = [list(column) for column in zip(*rows, strict=True)]
            if columns:
                self.connection.execute(f"insert into {table} select unnest(?), unnest(?), unnest(?)", columns)

    def forget(self) -> None:
        """Deletes every logged search."""
        self.connection.execute("delete from evaluation_interval; delete from retrieval_hit")
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

    def evaluate(self, space: int, run: Run, day: int = 0, **optional: Any) -> None:
        """Logs a run as an evaluation that has ended does: under a run, with its intervals."""
        job = VectorJob.create_new(JobType.RETRIEVE_TEST, {}, status=JobStatus.SUCCEEDED, by_hand_flag=True)
        made = VectorRun.create_new(job.job_id, "a test", status=RunStatus.SUCCEEDED)
        self.store.save_job(job)
        self.store.save_run(made)
        self.log(space, run, day, run_id=made.run_id, **optional)
        measure_run(self.store, made.run_id)

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
    warehouse.evaluate(space, named(hits))
    rows = warehouse.rows(
        """
        select eval_score.metric, list(eval_score.score order by eval_score.query_id)
        from eval_score inner join eval_retrieval using (retrieval_id)
        where eval_retrieval.embedding_space_id = ? group by eval_score.metric
        """,
        warehouse.spaces[space].embedding_space_id,
    )
    return {metric: np.array(scores) for metric, scores in rows}
