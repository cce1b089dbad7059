"""Vectors on their way into the ledger, a column at a time: what a model's reply becomes before it is stored."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any

from vector.contracts.models import EmbeddingSpace
from vector.errors import InvalidRecord

if TYPE_CHECKING:
    import numpy as np


@dataclass
class VectorBatch:
    """Vectors of one space and run. The lists are of one length; what stands at a position belongs together.

    `vectors` holds float32 arrays of shape (dimensions,). A chunk and content hash occurs once.
    """

    space: EmbeddingSpace
    run_id: str | None
    chunk_ids: list[str] = field(default_factory=list)
    input_content_sha256: list[str] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    input_tokens: list[int | None] = field(default_factory=list)
    used_tokens: list[int | None] = field(default_factory=list)
    truncated_flag: list[bool | None] = field(default_factory=list)
    tokens_estimated_flag: list[bool | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.chunk_ids)

    def add(self, chunk_ids: Sequence[str], content_sha256: str, vector: np.ndarray, tokens: tuple) -> None:
        """Adds the vector of a text for every chunk that waits for it. `tokens` are the text's input_tokens,
        used_tokens, truncated_flag and tokens_estimated_flag."""
        for chunk_id in chunk_ids:
            self.chunk_ids.append(chunk_id)
            self.input_content_sha256.append(content_sha256)
            self.vectors.append(vector)
            columns: tuple[list[Any], ...] = (
                self.input_tokens, self.used_tokens, self.truncated_flag, self.tokens_estimated_flag
            )  # fmt: skip
            for column, value in zip(columns, tokens, strict=True):
                column.append(value)

    def rows(self, columns: Sequence[str], encode_vector: Callable[[np.ndarray], Any]) -> list[tuple]:
        """The rows of the ledger `embedding` in the order of `columns`, each with a new id.

        Raises InvalidRecord, naming the chunk, when a vector is not one of the space: another length, not finite, or
        zero where directions are compared.
        """
        matrix = self._checked_matrix()
        values = {
            "embedding_id": _new_ids(len(self)),
            "chunk_id": self.chunk_ids,
            "embedding_space_id": repeat(self.space.embedding_space_id),
            "input_content_sha256": self.input_content_sha256,
            "vector": [encode_vector(vector) for vector in matrix],
            "vector_sha256": [hashlib.sha256(vector).hexdigest() for vector in matrix],
            "run_id": repeat(self.run_id),
            "created_utc": repeat(datetime.now(UTC).replace(tzinfo=None)),
            "input_tokens": self.input_tokens,
            "used_tokens": self.used_tokens,
            "truncated_flag": self.truncated_flag,
            "tokens_estimated_flag": self.tokens_estimated_flag,
            "dimensions": repeat(self.space.dimensions),
        }
        return list(zip(*(values[column] for column in columns), strict=False))

    def _checked_matrix(self) -> np.ndarray:
        """The vectors as one contiguous little-endian float32 array of shape (rows, dimensions)."""
        import numpy as np

        for chunk_id, vector in zip(self.chunk_ids, self.vectors, strict=True):
            if np.shape(vector) != (self.space.dimensions,):
                raise InvalidRecord(
                    f"embedding of chunk {chunk_id}: the vector has shape {np.shape(vector)}, space"
                    f" {self.space.space_key} has {self.space.dimensions} dimensions"
                )
        matrix = np.ascontiguousarray(np.stack(self.vectors), dtype="<f4")
        for wrong, rows in (
            ("not finite (NaN or infinity)", ~np.isfinite(matrix).all(axis=1)),
            ("all zeros, which has no direction", ~matrix.any(axis=1) & (self.space.distance_metric == "cosine")),
        ):
            if rows.any():
                chunk_id = self.chunk_ids[int(rows.argmax())]
                raise InvalidRecord(f"embedding of chunk {chunk_id}: the vector is {wrong}")
        return matrix


def _new_ids(count: int) -> list[str]:
    """Random UUIDs (version 4, RFC 9562), their randomness read at once: a read each would cost more than the rest."""
    random = os.urandom(16 * count)
    return [str(uuid.UUID(bytes=random[start : start + 16], version=4)) for start in range(0, 16 * count, 16)]
