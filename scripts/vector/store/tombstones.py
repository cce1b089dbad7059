"""The sources that were erased, and stay out until that is lifted."""

from __future__ import annotations

from collections.abc import Iterable

from vector.contracts.models import compute_content_hash
from vector.engines.base import Engine
from vector.errors import InvalidRecord


def refuse_erased(engine: Engine, source_ids: Iterable[str | None]) -> None:
    """Raises InvalidRecord, which names it, for a source that was erased and not let in again."""
    erased = engine.query(
        f"select salt, subject_sha256, created_utc from {engine.table('erasure')}"
        " where kind = 'source' and lifted_utc is null and salt is not null"
    )
    if not erased:
        return
    for source_id in sorted({each for each in source_ids if each is not None}):
        for salt, subject_sha256, created_utc in erased:
            if compute_content_hash(f"{salt}:{source_id}") == subject_sha256:
                raise InvalidRecord(
                    f"source {source_id!r} was erased ({created_utc:%Y-%m-%d}) and is kept out;"
                    " `vector erase --lift --source-id` lets it in again"
                )
