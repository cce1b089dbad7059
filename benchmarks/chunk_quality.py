"""How well chunks of articles are found, cut by today's default policy, beside the windows of characters that were the
default: MRR@10 of dense, lexical and hybrid search.

XQuAD has 48 articles in several languages, and questions whose answer is a span of an article. An article's paragraphs
are joined by an empty line. They become rows of an analytics source, which the project itself cuts, embeds and
searches; a question is answered by a chunk that holds the whole span. Intervals are the bootstrap's, over questions.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support import Warehouse, judged_data_parser, print_header, print_table, scratch_warehouse

from vector.contracts.models import EmbeddingSpace
from vector.embedding import embed_space
from vector.providers import open_provider
from vector.search.policy import SearchPolicy
from vector.search.search import embed_question, search_question
from vector.store import VectorStore

BEFORE, AFTER = "characters", "paragraphs"
# The former defaults of articles: rows of the seed.
FORMER = [("page-700-v1", "page"), ("page-non-latin-240-v1", "page_non_latin")]
MODES = ("dense", "lexical", "hybrid")
# Languages of Snowball; words of others are compared as they are.
SNOWBALL = {"ar": "arabic", "de": "german", "en": "english", "es": "spanish", "hi": "hindi", "ru": "russian"}
SAMPLES = 2000


@dataclass(frozen=True)
class Asked:
    """A question, and where its answer is: the article, start and end in code points, the end exclusive."""

    text: str
    source_id: str
    start: int
    end: int


def main() -> None:
    """Measures and prints the figures of each language."""
    arguments = judged_data_parser(__doc__)
    arguments.add_argument("--language", action="append", metavar="L", help="only this one, as en; repeatable")
    arguments.add_argument("--questions", type=int, default=300, metavar="N", help="a language, spread; 0: all of them")
    arguments.add_argument("--space", default="bge-small", metavar="KEY", help="a space of embedding_space_seed")
    given = arguments.parse_args()
    files = [path for path in sorted(Path(given.data).glob("xquad/??.jsonl"))]
    files = [path for path in files if not given.language or path.stem in given.language]
    print_header(f"Quality of chunks in the space {given.space}")
    if not files:
        print(f"No xquad in {given.data}: nothing is measured.")
        return
    print_table(
        ["language", "questions", "policy", "chunks", *(f"{mode} MRR@10" for mode in MODES)],
        [row for path in files for row in _measured(path, given)],
    )


def _measured(path: Path, given: argparse.Namespace) -> Iterator[list]:
    texts, questions = _read(path)
    if given.questions:
        questions = questions[:: max(1, len(questions) // given.questions)][: given.questions]
    ranks: dict[str, dict[str, np.ndarray]] = {}
    for policy in (BEFORE, AFTER):
        with scratch_warehouse() as warehouse:
            _load(warehouse, texts, path.stem, policy)
            with warehouse.connect() as connection:
                store = VectorStore(connection)
                space = store.get_embedding_space_by_key(given.space)
                if space is None:
                    raise SystemExit(f"the seed embedding_space_seed has no space called {given.space}")
                chunks = embed_space(store, space).written
                ranks[policy] = _reciprocal_ranks(store, space, questions, SNOWBALL.get(path.stem))
        row = [path.stem, len(questions), policy, chunks, *(f"{ranks[policy][mode].mean():.3f}" for mode in MODES)]
        yield row
    yield [path.stem, "", "gain", "", *(_interval(ranks[AFTER][mode] - ranks[BEFORE][mode]) for mode in MODES)]


def _read(path: Path) -> tuple[dict[str, str], list[Asked]]:
    texts, questions = {}, []
    for line in path.read_text(encoding="utf-8").splitlines():
        article = json.loads(line)
        text = ""
        for paragraph in article["paragraphs"]:
            text += "\n\n" if text else ""
            for each in paragraph["qas"]:
                start = len(text) + each["answer_start"]
                end = start + len(each["answer"])
                questions.append(Asked(each["question"], f"page:{article['title']}", start, end))
            text += paragraph["context"]
        texts[article["title"]] = text
    return texts, questions


def _load(warehouse: Warehouse, texts: dict[str, str], language: str, policy: str) -> None:
    payloads = ([key, json.dumps({"body": {"text": text}, "lang": language})] for key, text in texts.items())
    with warehouse.connect() as connection:
        connection.executemany("insert into bench.page values (?, ?, now()::timestamp)", payloads)
    warehouse.dbt("seed")
    if policy == BEFORE:
        with warehouse.connect() as connection:
            connection.executemany(
                "update vector.chunk_policy set is_active = policy_version = ? where source_type = ?", FORMER
            )
    warehouse.dbt("run")


def _reciprocal_ranks(
    store: VectorStore, space: EmbeddingSpace, questions: list[Asked], language: str | None
) -> dict[str, np.ndarray]:
    """Of the first of ten hits that holds the answer, by mode: shape (questions,), 0 where none does."""
    provider = open_provider(space)
    embedded = [embed_question(store, space, provider, each.text) for each in questions]
    provider.close()
    found = {}
    for mode in MODES:
        policy = SearchPolicy(mode, language=None if mode == "dense" else language or "none")
        found[mode] = np.zeros(len(questions))
        for number, (asked, question) in enumerate(zip(questions, embedded, strict=True)):
            for hit in search_question(store, space, question, 10, policy=policy, log=False).hits:
                if hit.source_id == asked.source_id and hit.start_offset <= asked.start and asked.end <= hit.end_offset:
                    found[mode][number] = 1 / hit.rank
                    break
    return found


def _interval(gains: np.ndarray) -> str:
    """The mean, and its 95% interval."""
    random = np.random.default_rng(0)
    means = gains[random.integers(len(gains), size=(SAMPLES, len(gains)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{gains.mean():+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("VECTOR_CACHE_DIR", "")
    main()
