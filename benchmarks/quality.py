"""How well search finds on judged collections: dense, BM25 and hybrid, words as they are and in English, beside
reference figures.

A collection's documents become rows of an analytics source, which the project itself registers, cuts into chunks (one
a document, as the references do, or by its own policy for articles), embeds and searches. A document's rank is that of
its best chunk. nDCG@10 has the grade as its gain, as trec_eval; recall@100 counts grades above 0. The collections are
in BEIR's layout (corpus.jsonl, queries.jsonl, qrels.tsv) under --data or VECTOR_DATA_DIR; without them, nothing is
measured.

A part of a collection (--documents) keeps the judged documents of its first queries and fills up with others: it is
easier than the whole, so only --documents 0, all of them, is comparable with the reference.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import ir_measures
from ir_measures import R, nDCG
from support import Warehouse, judged_data_parser, print_header, print_table, scratch_warehouse

from vector.contracts.models import EmbeddingSpace
from vector.embedding import embed_space
from vector.providers import open_provider
from vector.search.language import NEUTRAL
from vector.search.policy import SearchPolicy
from vector.search.search import Question, embed_question, search_question
from vector.store import VectorStore

# nDCG@10 and recall@100 of whole documents, from the README of the collections. Those of BM25 are what bm25s gives with
# its English stop words, the Snowball stemmer of English and k1 = 1.2.
REFERENCE = {
    "scifact": {"dense": (0.647, 0.92), "lexical": (0.679, 0.91), "hybrid": (0.716, 0.95)},
    "cranfield": {"dense": (0.377, 0.78), "lexical": (0.360, 0.73), "hybrid": (0.406, 0.80)},
}
# One window for the longest document.
WHOLE = (
    "update vector.chunk_policy set policy_version = 'whole-v1', chunk_size = 1000000, overlap = 0, is_active = true"
)
DEPTH = 100
# The two ways to fuse, RRF first: what the default is measured against.
FUSED = {"hybrid by rrf": "rrf", "hybrid": "score"}
# Chunks asked for: several times the documents that are measured, as a document may have many among them.
CHUNKS = 400


@dataclass(frozen=True)
class Collection:
    """Documents and questions by id, and the grades above 0 of documents by question."""

    name: str
    documents: dict[str, str]
    questions: dict[str, str]
    judgments: dict[str, dict[str, int]]


def main() -> None:
    """Measures and prints the figures of each collection."""
    arguments = judged_data_parser(__doc__)
    arguments.add_argument("--collection", action="append", metavar="NAME", help="only this one; repeatable")
    arguments.add_argument("--documents", type=int, default=500, metavar="N", help="a collection; 0: all of them")
    arguments.add_argument("--space", default="bge-small", metavar="KEY", help="a space of embedding_space_seed")
    arguments.add_argument("--language", default="english", metavar="L", help="of the collections (default english)")
    arguments.add_argument("--chunked", action="store_true", help="by the project's policy, not whole documents")
    given = arguments.parse_args()
    folders = [path.parent for path in sorted(Path(given.data).glob("*/qrels.tsv"))]
    folders = [folder for folder in folders if not given.collection or folder.name in given.collection]
    print_header(f"Quality of search in the space {given.space}")
    if not folders:
        print(f"No judged collections in {given.data}: nothing is measured.")
        return
    print_table(
        [
            "collection",
            "documents",
            "chunks",
            "queries",
            "mode",
            "language",
            "nDCG@10",
            "recall@100",
            "reference",
            "ms a query",
        ],
        [row for folder in folders for row in _measured(_part(_read(folder), given.documents), given)],
    )
    if given.documents:
        print("A part of a collection is easier than the whole: the reference is for --documents 0.")


def _read(folder: Path) -> Collection:
    documents = {row["_id"]: f"{row['title']} {row['text']}".strip() for row in _lines(folder / "corpus.jsonl")}
    judgments: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                judgments[row["query-id"]][row["corpus-id"]] = int(row["score"])
    questions = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl")}
    return Collection(folder.name, {key: text for key, text in documents.items() if text}, questions, dict(judgments))


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _part(collection: Collection, limit: int) -> Collection:
    """The first questions whose relevant documents fill at most half of the limit, and other documents up to it."""
    if not limit:
        return collection
    kept: dict[str, None] = {}
    judgments = {}
    for query_id, relevant in collection.judgments.items():
        if len(kept.keys() | relevant.keys()) > limit / 2:
            break
        kept.update(dict.fromkeys(relevant))
        judgments[query_id] = relevant
    others = [key for key in collection.documents if key not in kept]
    kept.update(dict.fromkeys(others[: max(0, limit - len(kept))]))
    documents = {key: collection.documents[key] for key in kept if key in collection.documents}
    return Collection(collection.name, documents, collection.questions, judgments)


def _measured(collection: Collection, given: argparse.Namespace) -> list[list]:
    with scratch_warehouse() as warehouse:
        _load(warehouse, collection, given.chunked)
        with warehouse.connect() as connection:
            store = VectorStore(connection)
            space = store.get_embedding_space_by_key(given.space)
            if space is None:
                raise SystemExit(f"the seed embedding_space_seed has no space called {given.space}")
            summary = embed_space(store, space)
            sizes = [len(collection.documents), summary.written, len(collection.judgments)]
            figures = _asked(store, space, collection, given.language)
    reference = REFERENCE.get(collection.name, {})
    rows = []
    for (mode, language), (ndcg, recall, seconds) in figures.items():
        of_mode = None if given.chunked else reference.get(mode.split()[0])
        known = "{:.3f} ({:.2f})".format(*of_mode) if of_mode else "-"
        milliseconds = 1000 * seconds / len(collection.judgments)
        rows.append(
            [collection.name, *sizes, mode, language or "-", f"{ndcg:.3f}", f"{recall:.2f}", known, milliseconds]
        )
    return rows


def _load(warehouse: Warehouse, collection: Collection, chunked: bool) -> None:
    """Puts the documents into the analytics source `page`, and builds the project over it."""
    payloads = ([key, json.dumps({"body": {"text": text}, "lang": "en"})] for key, text in collection.documents.items())
    with warehouse.connect() as connection:
        connection.executemany("insert into bench.page values (?, ?, now()::timestamp)", payloads)
    warehouse.dbt("seed")
    if not chunked:
        with warehouse.connect() as connection:
            connection.execute(f"{WHOLE} where source_type = 'page'")
    warehouse.dbt("run")


def _asked(
    store: VectorStore, space: EmbeddingSpace, collection: Collection, language: str
) -> dict[tuple[str, str | None], tuple[float, float, float]]:
    """nDCG@10, recall@100 and seconds by mode and language. The model embeds each question once; its time counts for
    those that use it."""
    provider = open_provider(space)
    asked = {key: collection.questions[key] for key in collection.judgments}
    questions = {key: embed_question(store, space, provider, text) for key, text in asked.items()}
    provider.close()
    figures = {}
    for mode, of in _modes(language):
        policy = SearchPolicy(mode.split()[0], pool=CHUNKS, fusion=FUSED.get(mode, "score"), language=of)
        search_question(store, space, next(iter(questions.values())), CHUNKS, policy=policy, log=False)  # warm
        started = time.perf_counter()
        rankings = {key: _ranking(store, space, question, policy) for key, question in questions.items()}
        seconds = time.perf_counter() - started
        if mode != "lexical":
            seconds += sum(question.embedding_ms for question in questions.values()) / 1000
        run = {key: {each: -float(rank) for rank, each in enumerate(found)} for key, found in rankings.items()}
        means = ir_measures.calc_aggregate([nDCG @ 10, R @ DEPTH], collection.judgments, run)
        figures[mode, of] = (means[nDCG @ 10], means[R @ DEPTH], seconds)
    return figures


def _modes(language: str) -> list[tuple[str, str | None]]:
    languages = dict.fromkeys((NEUTRAL, language))
    return [("dense", None), *((mode, of) for mode in ("lexical", *FUSED) for of in languages)]


def _ranking(store: VectorStore, space: EmbeddingSpace, question: Question, policy: SearchPolicy) -> list[str]:
    hits = search_question(store, space, question, CHUNKS, policy=policy, log=False).hits
    return list(dict.fromkeys(hit.source_id.removeprefix("page:") for hit in hits))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("VECTOR_CACHE_DIR", "")
    main()
