"""The in-process models: what the pipeline costs on top of them, and how well the defaults of now and before find.

Speed: embed_space over pending chunks, against the same provider called alone on the same texts with as many threads,
in the best of several batch sizes; for the transformers and for the static model, each in a space that is pinned
already. Start-up is opening the model and checking its canaries. The ratio of processor time counts all threads and
moves less with what else the machine does; it says nothing of waiting. Memory is that of a process of its own which
opens the model and embeds some texts, at its peak.

Quality: a collection's documents as one chunk each (title, blank, text), embedded by embed_space with each transformer
and searched by their vectors; nDCG@10 and recall@100 beside the collection's reference figures for all-MiniLM-L6-v2.
The collections are in BEIR's layout under --data; without them, only speed is measured. A subset keeps judged documents
of the first queries and fills up with others: it is easier than the whole collection, so only --documents 0 (all of
them) is comparable with the reference.
"""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from support import (
    PROJECT_DIR,
    Warehouse,
    best_of,
    in_own_process,
    parser,
    print_header,
    print_table,
    scratch_warehouse,
)

from vector.contracts.models import EmbeddingSpace, VectorChunk, compute_content_hash
from vector.embedding import embed_space
from vector.providers import PreprocessPolicy, open_provider
from vector.search.policy import DENSE
from vector.search.search import search
from vector.spaces.pinning import pin_or_check
from vector.store import VectorStore

# The default of now, and that of version 0.1.
BGE_SMALL = {
    "provider": "onnx",
    "model_name": "bge-small-en-v1.5-int8",
    "dimensions": 384,
    "preprocess_policy": {
        "query_prefix": "Represent this sentence for searching relevant passages: ",
        "truncation": "end",
        "max_tokens": 512,
        "pooling": "cls",
    },
}
MINILM = {
    "provider": "onnx",
    "model_name": "all-MiniLM-L6-v2",
    "dimensions": 384,
    "preprocess_policy": {"truncation": "end", "max_tokens": 256},
}
STATIC = {"provider": "static", "model_name": "wordllama-l2-supercat-256", "dimensions": 256}

# nDCG@10 and recall@100 of all-MiniLM-L6-v2, from the README of the collections.
REFERENCE = {"scifact": (0.647, 0.92), "cranfield": (0.377, 0.78)}


@dataclass(frozen=True)
class Subject:
    """A model whose pipeline is measured: how to open its space, and the share of the model alone that is the goal."""

    label: str
    goal: float
    chunks: int
    batch_sizes: Sequence[int]
    space: dict[str, Any]


def main() -> None:
    """Measures and prints the speed and quality of the models."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--chunks", type=int, default=300, metavar="N", help="embedded by each transformer")
    arguments.add_argument("--static-chunks", type=int, default=10_000, metavar="N", help="by the static model")
    arguments.add_argument("--characters", type=int, default=500, metavar="N", help="a chunk")
    arguments.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 32], metavar="N", help="of a transformer alone"
    )
    arguments.add_argument(
        "--static-batch-sizes", type=int, nargs="+", default=[64, 512, 2000], metavar="N", help="of the static model"
    )
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N", help="calls at a time")
    arguments.add_argument("--data", type=Path, default=PROJECT_DIR.parent / "shared" / "data", metavar="DIR")
    arguments.add_argument("--documents", type=int, default=500, metavar="N", help="a collection; 0: all of them")
    given = arguments.parse_args()
    print_header("The in-process models")
    subjects = [
        Subject("bge-small", 0.95, given.chunks, given.batch_sizes, BGE_SMALL),
        Subject("minilm", 0.95, given.chunks, given.batch_sizes, MINILM),
        Subject("static model", 0.50, given.static_chunks, given.static_batch_sizes, STATIC),
    ]
    headers = ["model", "what", "chunks", "chunks/s", "a processor second", "of the model alone", "by processor time"]
    headers.append("goal")
    rows = [
        row for subject in subjects if subject.chunks for row in _speed(subject, given.characters, given.repetitions)
    ]
    print_table(headers, rows)
    alone = {label: max(row[4] for row in rows if row[0] == label and "alone" in row[1]) for label, *_ in rows}
    if "minilm" in alone:
        for label in alone.keys() - {"minilm"}:
            print(f"{label} alone is {alone[label] / alone['minilm']:.3g} times as fast as minilm, by processor time.")
    rows = [
        row
        for each in subjects
        if each.chunks
        for row in _threads(each, given.characters, given.threads, given.repetitions)
    ]
    print()
    print_table(["model alone", "threads", "chunks/s", "a processor second", f"of {given.threads[0]} threads"], rows)
    _, libraries = in_own_process(_import_libraries)
    rows = [[each.label, _memory(each, given.characters)] for each in subjects if each.chunks]
    print_table(["what", "peak MB of a process"], [["the libraries alone", libraries], *rows])
    print(f"Load average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.")
    collections = [name for name in REFERENCE if (given.data / name / "qrels.tsv").is_file()]
    if not collections:
        print(f"\nNo judged collections in {given.data}: quality is not measured.")
        return
    print()
    rows = [
        [name, label, *_quality(name, given.data / name, given.documents, space)]
        for name in collections
        for label, space in (("bge-small", BGE_SMALL), ("minilm", MINILM))
    ]
    headers = ["collection", "model", "documents", "queries", "nDCG@10", "recall@100", "reference of minilm", "seconds"]
    print_table(headers, rows)
    if given.documents:
        print("A part of a collection is easier than the whole: the reference is for --documents 0.")


def _speed(subject: Subject, characters: int, repetitions: int) -> list[list]:
    """The rows of a model: alone in each batch size, and in the pipeline."""
    count = subject.chunks
    texts = _prose(count, characters)
    with scratch_warehouse() as warehouse:
        _build_with_chunks(warehouse, {f"bench:{number}": text for number, text in enumerate(texts)})
        space = _pinned_space(warehouse, subject)
        provider = open_provider(space)
        policy = PreprocessPolicy.from_dict(space.preprocess_policy)
        cpu: dict[str, float] = {}

        def timed(name: str, work: Callable[[], Any]) -> float:
            wall, processor = time.perf_counter(), time.process_time()
            work()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            cpu[name] = min(processor, cpu.get(name, processor))
            return wall

        def alone(batch_size: int) -> None:
            batches = [texts[start : start + batch_size] for start in range(0, count, batch_size)]
            with ThreadPoolExecutor(provider.preferred_concurrency) as pool:
                list(pool.map(provider.embed, batches))

        def start_up(store: VectorStore) -> None:
            opened = open_provider(space)
            pin_or_check(store, space, opened, policy)
            opened.close()

        def pipeline(store: VectorStore) -> None:
            summary = embed_space(store, space)
            if summary.written != count:
                raise SystemExit(f"embed_space wrote {summary.written} of {count}")

        def on_a_copy(name: str, work: Callable[[VectorStore], None]) -> float:
            with duckdb.connect(str(warehouse.copy("embed"))) as connection:
                store = VectorStore(connection)
                return timed(name, lambda: work(store))

        alone(subject.batch_sizes[-1])  # warm
        sizes = {f"alone, batches of {size}": size for size in subject.batch_sizes}
        runs = {name: lambda name=name, size=size: timed(name, lambda: alone(size)) for name, size in sizes.items()}
        runs["start-up"] = lambda: on_a_copy("start-up", start_up)
        runs["embed_space"] = lambda: on_a_copy("embed_space", pipeline)
        wall = best_of(repetitions, runs)
    for seconds in (wall, cpu):
        seconds["embed_space without start-up"] = seconds["embed_space"] - seconds.pop("start-up")
    best_wall, best_cpu = (min(seconds[name] for name in sizes) for seconds in (wall, cpu))
    return [
        [
            subject.label,
            name,
            count,
            count / wall[name],
            count / cpu[name],
            best_wall / wall[name],
            best_cpu / cpu[name],
        ]
        + ["" if name in sizes else subject.goal]
        for name in wall
    ]


def _threads(subject: Subject, characters: int, numbers: Sequence[int], repetitions: int) -> list[list]:
    """Rows of chunks a second and a processor second of the model alone, with so many calls at a time."""
    provider = open_provider(EmbeddingSpace.create_new(**subject.space))
    texts = _prose(subject.chunks, characters)
    size = max(1, min(subject.batch_sizes))
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    cpu: dict[int, float] = {}

    def embed(number: int) -> float:
        wall, processor = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(provider.embed, batches))
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        cpu[number] = min(processor, cpu.get(number, processor))
        return wall

    embed(2)
    best = best_of(repetitions, {str(number): lambda number=number: embed(number) for number in numbers})
    provider.close()
    first = best[str(numbers[0])]
    return [
        [subject.label, number, len(texts) / best[str(number)], len(texts) / cpu[number], first / best[str(number)]]
        for number in numbers
    ]


def _memory(subject: Subject, characters: int) -> str:
    _, peak = in_own_process(_embed_alone, subject.space, _prose(min(subject.chunks, 64), characters))
    return peak


def _import_libraries() -> None:
    """What a process has before it opens a model."""
    import onnxruntime  # noqa: F401
    import tokenizers  # noqa: F401


def _embed_alone(space: dict[str, Any], texts: list[str]) -> None:
    provider = open_provider(EmbeddingSpace.create_new(**space))
    with ThreadPoolExecutor(provider.preferred_concurrency) as pool:
        list(pool.map(provider.embed, [[text] for text in texts]))
    provider.close()


def _prose(count: int, characters: int) -> list[str]:
    """So many windows of the demo's pages, shortest first as the pipeline takes them: how long a tokenizer takes
    depends on the text."""
    with (PROJECT_DIR / "seeds" / "demo" / "page.csv").open(encoding="utf-8", newline="") as file:
        text = " ".join(json.loads(row["payload_json"])["body"]["text"] for row in csv.DictReader(file))
    step = (len(text) - characters) / count
    return sorted(
        (text[int(i * step) : int(i * step) + characters] for i in range(count)), key=lambda text: len(text.encode())
    )


def _pinned_space(warehouse: Warehouse, subject: Subject) -> EmbeddingSpace:
    """The model's space, pinned: its first use, which asks for the canaries twice, is not measured."""
    with warehouse.connect() as connection:
        store = VectorStore(connection)
        space = store.get_or_create_embedding_space(**subject.space)
        provider = open_provider(space)
        pin_or_check(store, space, provider, PreprocessPolicy.from_dict(space.preprocess_policy))
        provider.close()
        connection.execute("checkpoint")
    return space


def _quality(name: str, folder: Path, document_limit: int, of_space: dict[str, Any]) -> list:
    documents = {
        row["_id"]: f"{row['title']} {row['text']}".strip()
        for row in map(json.loads, (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines())
    }
    queries = {
        row["_id"]: row["text"]
        for row in map(json.loads, (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines())
    }
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                judged[row["query-id"]][row["corpus-id"]] = int(row["score"])
    if document_limit:
        documents, judged = _subset(documents, judged, document_limit)
    documents = {key: text for key, text in documents.items() if text}
    started = time.perf_counter()
    with scratch_warehouse() as warehouse:
        _build_with_chunks(warehouse, documents)
        with warehouse.connect() as connection:
            store = VectorStore(connection)
            space = store.get_or_create_embedding_space(**of_space)
            embed_space(store, space)
            provider = open_provider(space)
            gains, recalls = [], []
            for query, relevant in judged.items():
                hits = search(store, space, provider, queries[query], top_k=100, policy=DENSE, log=False).hits
                found = [relevant.get(hit.source_id, 0) for hit in hits]
                gains.append(_dcg(found[:10]) / _dcg(sorted(relevant.values(), reverse=True)[:10]))
                recalls.append(sum(grade > 0 for grade in found) / len(relevant))
            provider.close()
    seconds = time.perf_counter() - started
    reference = "{:.3f} ({:.2f})".format(*REFERENCE[name])
    ndcg, recall = sum(gains) / len(gains), sum(recalls) / len(recalls)
    return [len(documents), len(gains), f"{ndcg:.3f}", f"{recall:.2f}", reference, seconds]


def _subset(documents: dict[str, str], judged: dict[str, dict[str, int]], limit: int) -> tuple[dict, dict]:
    """The first queries whose relevant documents fill at most half of the limit, and others up to it."""
    kept: dict[str, None] = {}
    queries = {}
    for query, relevant in judged.items():
        if len(kept.keys() | relevant.keys()) > limit / 2:
            break
        kept.update(dict.fromkeys(relevant))
        queries[query] = relevant
    for document in documents:
        if len(kept) >= limit:
            break
        kept[document] = None
    return {document: documents[document] for document in kept if document in documents}, queries


def _dcg(grades: list[int]) -> float:
    """Discounted cumulative gain, the gain being the grade, as trec_eval counts it."""
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _build_with_chunks(warehouse: Warehouse, texts: dict[str, str]) -> None:
    """Builds a new warehouse that has each text as a chunk of its own, named by its source_id."""
    warehouse.build()
    with warehouse.connect() as connection:
        store = VectorStore(connection)
        store.save_chunks(
            VectorChunk(
                chunk_id=compute_content_hash(source_id),
                source_type="page",
                source_ref={},
                offsets={"chunk_index": 0, "start_offset": 0, "end_offset": len(text)},
                content=text,
                content_sha256=compute_content_hash(text),
                byte_count=len(text.encode()),
                policy={},
                source_id=source_id,
            )
            for source_id, text in texts.items()
        )
        connection.execute("checkpoint")


if __name__ == "__main__":
    main()
