"""Search over the local copy of a space's vectors (SQL Server's way) against numpy over the same matrix.

    python benchmarks/local_copy.py --vectors 100000 --dimensions 384

The server is left out: what is timed is what happens here once it has said that nothing changed.
"""

from __future__ import annotations

import numpy as np
from support import best_of, parser, print_header, print_table, unit_vectors

from vector.engines.vector_cache import CachedVectors


def main() -> None:
    """Prints milliseconds of each metric, and the ratio to numpy's scores alone."""
    arguments = parser(__doc__, 9)
    arguments.add_argument("--vectors", type=int, default=100_000)
    arguments.add_argument("--dimensions", type=int, default=384)
    options = arguments.parse_args()
    print_header("search over the local copy")
    matrix = unit_vectors(options.vectors, options.dimensions)
    query = unit_vectors(1, options.dimensions, seed=1)[0]
    ids = np.asarray([f"{number:064x}" for number in range(options.vectors)])
    copy = CachedVectors(1, ids, ids, matrix)
    copy.best(query, "cosine", 10)  # the norms are computed once
    seconds = best_of(
        options.repetitions,
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


if __name__ == "__main__":
    main()
