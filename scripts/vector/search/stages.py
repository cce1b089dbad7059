"""What a search by vectors begins with: every vector (`exact`), or the sketches of a large space (`sketch`)."""

from __future__ import annotations

import os

from vector.contracts.models import EmbeddingSpace
from vector.engines.base import (
    CopyEngine,
    Engine,
    Found,
    SearchRequest,
    SketchEngine,
    with_copied_sketches,
    with_sketches,
)
from vector.errors import ConfigurationError

AUTO, EXACT, SKETCH = "auto", "exact", "sketch"
SETTING = "VECTOR_SEARCH"
# Vectors of a space from which on `auto` begins with sketches (benchmarks/README.md, Large spaces).
LEAST_VECTORS = 100_000


def chosen_stage(stage: str | None = None) -> str:
    """The stage, by default what VECTOR_SEARCH says, or else `auto`. Raises ConfigurationError for another word."""
    chosen = stage or os.environ.get(SETTING) or AUTO
    if chosen not in (AUTO, EXACT, SKETCH):
        raise ConfigurationError(f"{'stage' if stage else SETTING} is {chosen!r}; it must be auto, exact or sketch")
    return chosen


def search_by_vectors(engine: Engine, space: EmbeddingSpace, request: SearchRequest, stage: str) -> tuple[Found, str]:
    """What was found, and by which of `exact` and `sketch`. `auto` takes sketches where the space is large and all its
    vectors have one. Where filters leave few chunks, or too few of the nearest are current, all are compared.

    Raises ConfigurationError for `sketch` where that cannot be.
    """
    if stage != EXACT and (found := _by_sketches(engine, space, request, stage)):
        return found, SKETCH
    return engine.search(request), EXACT


def _by_sketches(engine: Engine, space: EmbeddingSpace, request: SearchRequest, stage: str) -> Found | None:
    from vector.engines.sketches import WHY_UNFIT, fits_sketches  # brings numpy

    found: Found | str | None = f"{engine.name} keeps no sketches"
    if not fits_sketches(space):
        found = WHY_UNFIT
    elif keeper := with_sketches(engine):
        found = _by_kept(keeper, space, request, stage)
    elif copier := with_copied_sketches(engine):
        found = _by_copied(copier, space, request, stage)
    if not isinstance(found, str):
        return found
    if stage == SKETCH:
        raise ConfigurationError(f"space {space.space_key} cannot be searched by sketches: {found}; or search exactly")
    return None


def _by_kept(keeper: SketchEngine, space: EmbeddingSpace, request: SearchRequest, stage: str) -> Found | str | None:
    """What was found, None where all had better be compared, or why there are no sketches."""
    from vector.engines.sketches import current_mean, sketch_counts

    mean = current_mean(keeper, space.embedding_space_id)
    counts = mean and sketch_counts(keeper, space.embedding_space_id, mean.version)
    if mean and counts and counts.complete:
        if stage == AUTO and counts.vectors < LEAST_VECTORS:
            return None
        return keeper.search_by_sketches(request, mean)
    made = f"{counts.sketches:,} of its {counts.vectors:,} vectors have a sketch" if counts else "it has no sketches"
    return f"{made}: run `vector spaces sketch {space.space_key}`"


def _by_copied(copier: CopyEngine, space: EmbeddingSpace, request: SearchRequest, stage: str) -> Found | str | None:
    """As `_by_kept`."""
    count = copier.sketched_vectors(space.embedding_space_id, space.dimensions, make=stage == SKETCH)
    if not count:
        return "only a local copy larger than VECTOR_CACHE_MB has them, and the space has none"
    return None if stage == AUTO and count < LEAST_VECTORS else copier.search_by_copied_sketches(request)
