"""A question through `vector.open()`, again and again, against the parts that it cannot do without.

The model is the demo's, bge-small, which runs in this process; the chunks are many short ones. The baseline is the
model's own time for the question plus an exact search of the engine, with nothing fused, looked up or logged.
"""

from __future__ import annotations

import time
from statistics import median

from support import PROJECT_DIR, fill_chunks, fill_embeddings, parser, print_header, print_table, scratch_warehouse

import vector
from vector.engines.base import SearchRequest
from vector.providers.base import PreprocessPolicy

QUESTIONS = [f"Which {word} is seen from the {other}?" for word in "moon ring comet crater".split() for other in
             "planet probe orbit".split()]  # fmt: skip


def main() -> None:
    """Measures and prints the milliseconds of a question."""
    arguments = parser(__doc__, repetitions=3)
    arguments.add_argument("--rows", type=int, default=10_000, metavar="N", help="chunks in the space")
    given = arguments.parse_args()
    print_header(f"A question through vector.open(), {given.rows:,} chunks, bge-small")
    with scratch_warehouse() as warehouse:
        warehouse.build()
        with warehouse.connect() as connection:
            ((space_id, dimensions),) = connection.execute(
                "select embedding_space_id, dimensions from vector.embedding_space where space_key = 'bge-small'"
            ).fetchall()
            fill_chunks(connection, given.rows, characters=500)
            fill_embeddings(connection, space_id, dimensions)
        import os

        os.environ |= {"VECTOR_DUCKDB_PATH": str(warehouse.path), "VECTOR_CACHE_DIR": str(warehouse.folder / "cache")}
        os.environ["DBT_TARGET_PATH"] = str(warehouse.folder / "target")
        started = time.perf_counter()
        with vector.open(project_dir=PROJECT_DIR, profiles_dir=warehouse.folder) as door:
            door.search(QUESTIONS[0], top_k=5)
            first = time.perf_counter() - started
            rows = [["first, opened and indexed", 1000 * first, "", ""]]
            rows += _measured(door, space_id, given.repetitions)
    print_table(["question", "ms", "processor ms", "ratio"], rows)


def _measured(door: vector.Warehouse, space_id: str, repetitions: int) -> list[list[object]]:
    space = door.store.get_embedding_space(space_id)
    model = door._model(space)
    prefixed = PreprocessPolicy.from_dict(space.preprocess_policy).query_input

    def parts(question: str) -> None:
        reply = model.embed([prefixed(question)])
        door.store.engine.search(SearchRequest(space_id, reply.vectors[0], space.distance_metric, 5))

    subjects = {
        "the model and an exact search alone": parts,
        "dense, not logged": lambda question: door.search(question, 5, mode="dense", log=False),
        "hybrid, not logged": lambda question: door.search(question, 5, log=False),
        "hybrid, logged": lambda question: door.search(question, 5),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for _ in range(repetitions):
        for question in QUESTIONS:
            for name, subject in subjects.items():
                wall, processor = time.perf_counter(), time.process_time()
                subject(question)
                seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    walls = {name: 1000 * median(each for each, _ in taken) for name, taken in seconds.items()}
    baseline = next(iter(walls.values()))
    return [
        [name, wall, 1000 * median(each for _, each in seconds[name]), wall / baseline] for name, wall in walls.items()
    ]


if __name__ == "__main__":
    main()
