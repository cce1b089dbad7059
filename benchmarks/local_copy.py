"""Search over the local copy of a space's vectors (SQL Server's way) against numpy over the same matrix.

    python benchmarks/local_copy.py --vectors 100000 --dimensions 384

The server is left out: what is timed is what happens here once it has said that nothing changed. The second table is of
a copy that memory does not hold (`--mapped`; 10,000,000 take 18 GB of disk): its sketches against all of its vectors,
in a process of its own, with the files in the system's cache and without.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from support import TextVectors, best_of, in_own_process, parser, print_header, print_table, unit_vectors

from vector.engines.mapped_vectors import MappedCopies
from vector.engines.vector_cache import CachedVectors

TOP_K = 10
BLOCK = 20_000


def main() -> None:
    """Prints milliseconds of each metric, and the ratio to numpy's scores alone; and of a mapped copy."""
    arguments = parser(__doc__, 9)
    arguments.add_argument("--vectors", type=int, default=100_000)
    arguments.add_argument("--dimensions", type=int, default=384)
    arguments.add_argument(
        "--mapped", type=int, default=200_000, metavar="N", help="vectors of a copy on disk; 0: none"
    )
    arguments.add_argument("--asked", type=int, default=20, metavar="N", help="questions to it")
    options = arguments.parse_args()
    print_header("search over the local copy")
    _in_memory(options.vectors, options.dimensions, options.repetitions)
    if options.mapped:
        print()
        with tempfile.TemporaryDirectory(prefix="vector_benchmark_") as folder:
            _on_disk(Path(folder), Drawn(options.mapped, options.dimensions), options.asked)
    print(f"\nLoad average: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.")


def _in_memory(vectors: int, dimensions: int, repetitions: int) -> None:
    matrix = unit_vectors(vectors, dimensions)
    query = unit_vectors(1, dimensions, seed=1)[0]
    ids = np.asarray([f"{number:064x}" for number in range(vectors)])
    copy = CachedVectors(1, ids, ids, matrix)
    copy.best(query, "cosine", 10)  # the norms are computed once
    seconds = best_of(
        repetitions,
        {
            "product": lambda: matrix @ query,
            "distance": lambda: np.linalg.norm(matrix - query, axis=1),
            "cosine": lambda: copy.best(query, "cosine", 10),
            "dot": lambda: copy.best(query, "dot", 10),
            "euclidean": lambda: copy.best(query, "euclidean", 10),
        },
    )
    rows = []
    for metric, baseline in (("cosine", "product"), ("dot", "product"), ("euclidean", "distance")):
        ratio = seconds[metric] / seconds[baseline]
        rows.append([metric, seconds[metric] * 1000, f"numpy {baseline}", seconds[baseline] * 1000, ratio])
    print_table(["metric", "ms, top 10", "baseline", "ms", "ratio"], rows)


@dataclass
class Drawn:
    """A source of vectors of texts, which never changes."""

    rows: int
    dimensions: int
    identity: str = "server/database/vector/space"

    def version(self) -> int:
        """Of a server on which nothing is written."""
        return 1

    def count(self) -> int:
        """Number of vectors."""
        return self.rows

    def changed_chunks(self, since: int) -> list[str]:
        """None."""
        return []

    def current_vectors(self, chunk_ids: Sequence[str] | None) -> Iterator[tuple[str, str, np.ndarray]]:
        """All; the ids are numbers."""
        texts = TextVectors(self.rows, self.dimensions)
        for start in range(0, self.rows, BLOCK):
            for number, vector in enumerate(texts.draw(min(BLOCK, self.rows - start)), start):
                key = f"{number:064}"
                yield key, key, vector


def _on_disk(folder: Path, source: Drawn, asked: int) -> None:
    questions = TextVectors(source.rows, source.dimensions).draw(asked + 1000)[1000:]
    started = time.perf_counter()
    copied = MappedCopies(folder).current(source, 0)
    if copied is None:
        raise SystemExit("the disk has too little space")
    made = time.perf_counter() - started
    size = sum(each.stat().st_size for each in folder.rglob("*.rows")) / 1e9
    started = time.perf_counter()
    truth = _nearest(copied.matrix, questions)
    exact = (time.perf_counter() - started) / asked
    del copied
    rows = []
    for name in ("cold", "warm"):
        if name == "cold":
            _forget(folder)
        (found, first, milliseconds, processor), peak = in_own_process(_ask, folder, source, questions)
        recall = np.mean([len(set(each) & set(best)) / TOP_K for each, best in zip(found, truth, strict=True)])
        rows.append([name, first * 1000, milliseconds, processor, recall, peak])
    print(
        f"{source.rows:,} x {source.dimensions}, {size:.1f} GB, made in {made:,.0f} s; an exact question {exact:.2g} s"
    )
    print(f"of a pass that {asked} questions share.\n")
    print_table(["files", "first ms", "median ms", "processor ms", f"recall@{TOP_K}", "peak MB"], rows)


def _nearest(matrix: np.ndarray, questions: np.ndarray) -> list[list[int]]:
    """The best of each question by all vectors, in one pass."""
    scores = np.empty((len(questions), 0), np.float32)
    kept = np.empty((len(questions), 0), np.int64)
    for start in range(0, len(matrix), BLOCK):
        block = matrix[start : start + BLOCK] @ questions.T
        scores = np.concatenate([scores, block.T], axis=1)
        numbers = np.broadcast_to(np.arange(start, start + len(block)), (len(questions), len(block)))
        kept = np.concatenate([kept, numbers], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP_K]
        scores, kept = np.take_along_axis(scores, best, 1), np.take_along_axis(kept, best, 1)
    return kept.tolist()


def _ask(folder: Path, source: Drawn, questions: np.ndarray) -> tuple[list[list[int]], float, float, float]:
    """What each question finds; seconds of the first one with opening the copy, the median ms of the others, and the
    mean of their processor ms."""
    started = time.perf_counter()
    copies, found, times, before = MappedCopies(folder), [], [], 0.0
    for question in questions:
        copied = copies.current(source, 0)
        hits = copied.best_by_sketches(question, "cosine", TOP_K).hits
        found.append([int(hit.chunk_id) for hit in hits])
        times.append(time.perf_counter() - started)
        started, before = time.perf_counter(), before or time.process_time()
    processor = (time.process_time() - before) / max(1, len(questions) - 1)
    return found, times[0], 1000 * statistics.median(times[1:]), 1000 * processor


def _forget(folder: Path) -> None:
    """Drops the files from the system's cache, where the system can."""
    for path in folder.rglob("*.rows") if hasattr(os, "posix_fadvise") else ():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
