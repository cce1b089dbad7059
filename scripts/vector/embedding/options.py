"""What a caller may choose of an embedding run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EmbedOptions:
    """What to embed and how. None leaves the choice to the provider, or does not restrict.

    `limit` is in chunks. `chunk_ids` and `source_ids` name what alone is embedded, if it is pending. `retry_failed`
    adds the quarantined texts. After `max_seconds`, or before a request that might raise the cost above `max_cost`
    (in the space's currency), no further request is sent; what was sent is stored.
    """

    limit: int | None = None
    batch_size: int | None = None
    concurrency: int | None = None
    retry_failed: bool = False
    chunk_ids: Sequence[str] | None = None
    source_ids: Sequence[str] | None = None
    max_seconds: float | None = None
    max_cost: float | None = None
