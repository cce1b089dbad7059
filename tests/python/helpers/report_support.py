"""What the suites of the report share: a warehouse with something in every section, hostile texts, and its page."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import lxml.html
import numpy as np
from evaluation import DAY, Warehouse, ask_few, open_warehouse
from support import ScratchProject

from vector.chunking import Chunker, ChunkingPolicy
from vector.contracts.models import (
    EmbeddingSpace,
    JobStatus,
    JobType,
    PublicationAction,
    RunStatus,
    SpacePublication,
    VectorJob,
    VectorRetrieval,
    VectorRun,
    VectorSourceRegistry,
)
from vector.embedding import embed_space

# What would run, or load, or end an element, if anything of it were taken for HTML or for a template.
HOSTILE = (
    "</title></svg></script><script>window.broken = 1</script>"
    "<img src='http://evil.invalid/x.png' onerror=\"broken=1\">"
    "<style>@import url(//evil.invalid/)</style> \"'` --> ]]> &lt; {{ 7 * 7 }} {% raw %} \u202e\u2028"
)
SPACES = ("first", "second")
PLAIN = {"method": "dense", "distance_metric": "cosine", "per_source": 1}
# Of a later evaluation, in another way than the plain one; as long a name as a module may have.
RERANKED = {**PLAIN, "rerank": f"rerankers_{'of_a_deep_package_' * 3}:scores"}


@contextmanager
def filled_warehouse(project: ScratchProject, folder: Path) -> Iterator[Warehouse]:
    """The demo's chunks and a hostile one, in the spaces `hash`, `first`, which is superseded, and `second`, which is
    live, and in `<empty>`, which is retired, none; judged questions that were asked in several ways, a queue with
    every kind of end, and slow searches."""
    with open_warehouse(project, folder, SPACES) as opened:
        store = opened.store
        store.save_source(VectorSourceRegistry(f"bad:{HOSTILE}", HOSTILE[:90], {"file": "n"}, title=HOSTILE))
        store.save_chunks(Chunker(ChunkingPolicy()).chunk(HOSTILE, f"bad:{HOSTILE}", HOSTILE[:90]))
        for space in opened.spaces:
            embed_space(store, space)
        empty = EmbeddingSpace.create_new("hash", "none", 8, space_key="<empty>", is_active=False)
        store.save_embedding_space(empty)
        _publish(opened, retired=empty)
        _evaluate(opened)
        _queue(opened)
        _search(opened)
        yield opened


def _publish(opened: Warehouse, retired: EmbeddingSpace) -> None:
    actions = [(space, PublicationAction.PUBLISH) for space in opened.spaces] + [(retired, PublicationAction.RETIRE)]
    for number, (space, action) in enumerate(actions, 1):
        opened.store.save_space_publication(
            SpacePublication.create_new(number, space.embedding_space_id, action, "a test")
        )


def _evaluate(opened: Warehouse) -> None:
    random, pool = np.random.default_rng(3), sorted(opened.sources)
    ask_few(opened.connection)
    opened.connection.execute("update eval_query set query_text = ? where query_id = 'q01'", [HOSTILE])
    queries = [query for (query,) in opened.rows("select query_id from eval_query order by query_id")]
    for space, day, asked in ((0, 0, queries), (0, 1, queries), (1, 1, queries[:-1])):
        opened.log(space, {query: random.permutation(pool)[:100].tolist() for query in asked}, day=day, policy=PLAIN)
    opened.log(0, {queries[0]: pool[:3]}, day=2, policy={"method": "hybrid"}, filters={"source_type": [HOSTILE]})
    opened.log(0, {query: pool[:3] for query in queries}, day=3, policy=RERANKED)
    for space, day in ((0, 5), (1, 6)):
        opened.evaluate(space, {query: random.permutation(pool)[:100].tolist() for query in queries}, day=day)


def _queue(opened: Warehouse) -> None:
    ends = (
        (JobStatus.NEW, None), (JobStatus.FAILED, "boom"), (JobStatus.SUCCEEDED, None), (JobStatus.DEADLETTER, HOSTILE)
    )  # fmt: skip
    for i, (status, error) in enumerate(ends):
        done = DAY + timedelta(hours=i) if status in (JobStatus.SUCCEEDED, JobStatus.DEADLETTER) else None
        job = VectorJob.create_new(
            JobType.EMBED_CHUNKS,
            {"space_key": opened.store.list_embedding_spaces()[0].space_key},
            status=status,
            last_error=error,
            attempt_count=2,
            completed_utc=done,
        )
        opened.store.save_job(job)
        run = VectorRun.create_new(
            job.job_id, "worker:1", status=RunStatus.FAILED if error else RunStatus.SUCCEEDED, error=error,
            started_utc=DAY + timedelta(minutes=i), completed_utc=DAY + timedelta(minutes=i, seconds=1.25 * i),
        )  # fmt: skip
        opened.store.save_run(run)


def _search(opened: Warehouse) -> None:
    texts = [HOSTILE, "[redacted]", *(f"question {i}" for i in range(15))]
    retrievals = [
        VectorRetrieval.create_new(
            opened.spaces[i % 2].embedding_space_id, text, 10, latency_ms=100 - 1.125 * i, candidate_count=i,
            policy={"method": "dense"},
        )
        for i, text in enumerate(texts)
    ]  # fmt: skip
    opened.store.save_retrievals(retrievals, [])


class Page:
    """A parsed page, and how to read its numbers."""

    def __init__(self, html: str):
        self.html = html
        self.tree = lxml.html.fromstring(html)

    def section(self, name: str) -> str:
        """The text of a section, its whitespace folded."""
        (found,) = self.tree.xpath(f"//section[@id='{name}']")
        return re.sub(r"\s+", " ", found.text_content())

    def table(self, label: str) -> list[tuple]:
        """The rows of the table in a region of this label: of each its right-aligned numbers, to their last digit."""
        (found,) = self.tree.xpath(f"//div[@role='region'][@aria-label='{label}']/table")
        return [
            tuple(_number(cell) for cell in row.xpath("td[contains(concat(' ', @class, ' '), ' n ')]"))
            for row in found.xpath("tbody/tr")
        ]

    def texts(self, label: str, column: int) -> list[str]:
        """The texts of a column of such a table."""
        (found,) = self.tree.xpath(f"//div[@role='region'][@aria-label='{label}']/table")
        return [row[column].text_content().strip() for row in found.xpath("tbody/tr")]

    def data(self, chart: str) -> list[dict]:
        """The rows that a chart is drawn of."""
        (text,) = self.tree.xpath(f"//script[@data-chart='{chart}-chart']/text()")
        return json.loads(text)["datasets"]["rows"]


def _number(cell: lxml.html.HtmlElement) -> float | None:
    found = cell.xpath(".//data/@value")
    return float(found[0]) if found else None
