"""Vectors without meaning, from a hash of the text: for tests and for measuring everything but a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from vector.providers.base import EmbeddingProvider, EmbeddingReply, PreprocessPolicy, utf8


class HashProvider(EmbeddingProvider):
    """Deterministic and meaningless: equal texts have equal vectors, alike texts have unrelated ones.

    SHAKE-256 of the text's UTF-8 bytes gives 16 bits a dimension, so any number of dimensions works. The result is
    the same, bit for bit, on every platform. Search over such a space finds exact repetitions and nothing else.
    """

    name = "hash"
    endpoint_url = None
    model_digest = None
    preferred_batch_size = 2000
    preferred_concurrency = 1

    def __init__(self, space: Any) -> None:
        PreprocessPolicy.from_dict(space.preprocess_policy)
        self._dimensions = space.dimensions
        self._normalize = space.normalize_flag

    def embed(self, texts: Sequence[str]) -> EmbeddingReply:
        """Float32 vectors in (-1, 1), or of norm 1 where the space says so. Token counts are None: there are no
        tokens. Raises InputRefused for a text that is not valid Unicode."""
        size = 2 * self._dimensions
        digests = b"".join(hashlib.shake_256(utf8(text)).digest(size) for text in texts)
        # Odd numbers only, so that no vector is zero, however few its dimensions.
        odd = 2 * np.frombuffer(digests, dtype="<i2").reshape(len(texts), self._dimensions).astype(np.int64) + 1
        # The sum of squares is an exact integer: no order of summation can make platforms differ.
        scale = np.sqrt(np.square(odd).sum(axis=1, keepdims=True).astype(np.float64)) if self._normalize else 65536.0
        unknown: list[int | None] = [None] * len(texts)
        return EmbeddingReply((odd / scale).astype(np.float32), unknown, list(unknown))

    def close(self) -> None:
        """Nothing to release."""
