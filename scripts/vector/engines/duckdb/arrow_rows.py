"""What DuckDB gives by way of Arrow, as arrays of numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vector.engines.vector_cache import usable_vector

if TYPE_CHECKING:
    import pyarrow as pa


def block_of(batch: pa.RecordBatch, dimensions: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts, vectors and whole numbers of a batch, as Engine.vector_blocks gives them."""
    keys, vectors, *numbers = batch.columns
    others = [column.to_numpy(zero_copy_only=False) for column in numbers]
    count = batch.num_rows
    return (
        keys.to_pylist(),
        _matrix(vectors, dimensions),
        np.stack(others, axis=1).astype(np.int64) if others else np.zeros((count, 0), dtype=np.int64),
    )


def _matrix(vectors: pa.ListArray, dimensions: int) -> np.ndarray:
    offsets, values = vectors.offsets.to_numpy(), vectors.flatten()
    if not vectors.null_count and not values.null_count and (np.diff(offsets) == dimensions).all():
        matrix = values.to_numpy().reshape(-1, dimensions).astype(np.float32)
        matrix[~np.isfinite(matrix).all(axis=1)] = 0
        return matrix
    blank = np.zeros(dimensions, dtype=np.float32)
    usable = [usable_vector(each, dimensions) for each in vectors.to_pylist()]
    return np.asarray([blank if each is None else each for each in usable], dtype=np.float32)
