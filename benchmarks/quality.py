"""How well search finds on judged collections: dense, BM25 and hybrid, words as they are and in English, beside
reference figures, and hybrid beside what it was: by ranks, without titles among the words.

A collection's documents become rows of an analytics source, which the project itself registers, cuts into chunks (one a
document, as the references do, or by its own policy for articles), embeds and searches. A document's rank is that of
its best chunk. Its text begins with its title, as the references have it; word search counts the title of its row
again, but in the first row of a collection, where it has none. nDCG@10 has the grade as its gain, as trec_eval;
recall@100 counts grades above 0. The collections are in BEIR's layout (corpus.jsonl, queries.jsonl, qrels.tsv) under
--data or VECTOR_DATA_DIR; without them, nothing is measured.

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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import ir_measures
from ir_measures import R, nDCG
from support import Warehouse, judged_data_parser, print_header, print_table, scratch_warehouse

from vector.contracts.models import EmbeddingSpace
from vector.embedding import embed_space
from vector.evaluation.intervals import Interval, of_difference
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
# The ways to fuse. The first is that of version 0.1, against which the default, the last, is measured.
BEFORE, AFTER = "hybrid by rrf, without titles", "hybrid"
FUSED = {BEFORE: "rrf", "hybrid by rrf": "rrf", AFTER: "score"}
# Chunks asked for: several times the documents that are measured, as a document may have many among them.
CHUNKS = 400


@dataclass(frozen=True)
class Collection:
    """Titles and texts of documents, and questions, by id, and the grades above 0 of documents by question."""

    name: str
    documents: dict[str, tuple[str, str]]
    questions: dict[str, str]
    judgments: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Figures:
    """Of a mode in a language: nDCG@10 by question, the mean of recall@100, and the seconds of all questions."""

    ndcg: dict[str, float]
    recall: float
    seconds: float


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
    measured = [_measured(_part(_read(folder), given.documents), given) for folder in folders]
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
        [row for rows, _ in measured for row in rows],
    )
    for folder, (_, gain) in zip(folders, measured, strict=True):
        print(
            f"{folder.name}: nDCG@10 of {AFTER} less {BEFORE}: {gain.estimate:+.4f} (95% {gain.ci_lower:+.4f} to"
            f" {gain.ci_upper:+.4f}; p = {gain.p_value:.4f})"
        )
    print(f"The mean of these: {fmean(gain.estimate for _, gain in measured):+.4f}.")
    if given.documents:
        print("A part of a collection is easier than the whole: the reference is for --documents 0.")


def _read(folder: Path) -> Collection:
    documents = {row["_id"]: (row["title"], row["text"]) for row in _lines(folder / "corpus.jsonl")}
    judgments: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                judgments[row["query-id"]][row["corpus-id"]] = int(row["score"])
    questions = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl")}
    documents = {key: texts for key, texts in documents.items() if any(texts)}
    return Collection(folder.name, documents, questions, dict(judgments))


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


def _measured(collection: Collection, given: argparse.Namespace) -> tuple[list[list], Interval]:
    """The rows of the table, and by how much the default of today is better than that of before."""
    modes = _modes(given.language)
    with scratch_warehouse() as warehouse:
        warehouse.dbt("seed")
        if not given.chunked:
            with warehouse.connect() as connection:
                connection.execute(f"{WHOLE} where source_type = 'page'")
        figures = _asked(warehouse, collection, given.space, [(BEFORE, given.language)], titles=False)
        figures |= _asked(warehouse, collection, given.space, modes, titles=True)
        with warehouse.connect() as connection:
            chunks = VectorStore(connection).engine.query("select count(*) from vector.embedding_current")[0][0]
    sizes = [len(collection.documents), chunks, len(collection.judgments)]
    reference = REFERENCE.get(collection.name, {})
    rows = []
    for (mode, language), found in figures.items():
        of_mode = None if given.chunked else reference.get(mode.split()[0])
        known = "{:.3f} ({:.2f})".format(*of_mode) if of_mode else "-"
        shown = [f"{fmean(found.ndcg.values()):.3f}", f"{found.recall:.2f}", known]
        rows.append([collection.name, *sizes, mode, language or "-", *shown, 1000 * found.seconds / sizes[2]])
    gain = of_difference(figures[AFTER, given.language].ndcg, figures[BEFORE, given.language].ndcg)
    assert gain is not None  # both are of the same questions
    return rows, gain


def _asked(
    warehouse: Warehouse, collection: Collection, space_key: str, modes: Sequence[tuple[str, str | None]], titles: bool
) -> dict[tuple[str, str | None], Figures]:
    """Figures by mode and language, over the collection's rows with or without titles. The model embeds each question
    once; its time counts for those that use it."""
    _load(warehouse, collection, titles)
    with warehouse.connect() as connection:
        store = VectorStore(connection)
        space = store.get_embedding_space_by_key(space_key)
        if space is None:
            raise SystemExit(f"the seed embedding_space_seed has no space called {space_key}")
        embed_space(store, space)
        provider = open_provider(space)
        asked = {key: collection.questions[key] for key in collection.judgments}
        questions = {key: embed_question(store, space, provider, text) for key, text in asked.items()}
        provider.close()
        return {each: _found(store, space, collection, questions, *each) for each in modes}


def _load(warehouse: Warehouse, collection: Collection, titles: bool) -> None:
    """Puts the documents into the analytics source `page`, and builds the project over it."""
    with warehouse.connect() as connection:
        connection.execute("delete from bench.page")
        for key, (title, text) in collection.documents.items():
            # The source's own model puts a title before its text, so the text of a chunk is the same either way.
            whole = f"{title}\n\n{text}" if title else text
            page = {"title": title, "body": {"text": text}} if titles and title else {"body": {"text": whole}}
            payload = json.dumps({**page, "lang": "en"})
            connection.execute("insert into bench.page values (?, ?, now()::timestamp)", [key, payload])
    warehouse.dbt("run")


def _found(
    store: VectorStore,
    space: EmbeddingSpace,
    collection: Collection,
    questions: dict[str, Question],
    mode: str,
    language: str | None,
) -> Figures:
    policy = SearchPolicy(mode.split()[0], pool=CHUNKS, fusion=FUSED.get(mode, "score"), language=language)
    search_question(store, space, next(iter(questions.values())), CHUNKS, policy=policy, log=False)  # warm
    started = time.perf_counter()
    rankings = {key: _ranking(store, space, question, policy) for key, question in questions.items()}
    seconds = time.perf_counter() - started
    if mode != "lexical":
        seconds += sum(question.embedding_ms for question in questions.values()) / 1000
    run = {key: {each: -float(rank) for rank, each in enumerate(found)} for key, found in rankings.items()}
    ndcg = {each.query_id: each.value for each in ir_measures.iter_calc([nDCG @ 10], collection.judgments, run)}
    recall = ir_measures.calc_aggregate([R @ DEPTH], collection.judgments, run)[R @ DEPTH]
    return Figures(ndcg, recall, seconds)


def _modes(language: str) -> list[tuple[str, str | None]]:
    languages = dict.fromkeys((NEUTRAL, language))
    modes = ("lexical", *(mode for mode in FUSED if mode != BEFORE))
    return [("dense", None), *((mode, of) for mode in modes for of in languages)]


def _ranking(store: VectorStore, space: EmbeddingSpace, question: Question, policy: SearchPolicy) -> list[str]:
    hits = search_question(store, space, question, CHUNKS, policy=policy, log=False).hits
    return list(dict.fromkeys(hit.source_id.removeprefix("page:") for hit in hits))


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("VECTOR_CACHE_DIR", "")
    main()
