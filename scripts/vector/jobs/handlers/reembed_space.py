"""REEMBED_SPACE: embeds everything current in a space, a new one mostly, in pieces.

Input (described in docs/operations.md):

    space_key     the space, which is active; by default that of the job's `embedding_space_id`
    piece_chunks  chunks a piece, 10,000 by default

Each piece is stored when it ends, and a job that is taken up again begins with what is still pending, so that nothing
is paid for twice. No other space is touched: the old one is searched until it is set inactive in the seed.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

from vector.contracts.models import EmbeddingSpace
from vector.embedding import EmbedOptions
from vector.jobs.context import JobContext
from vector.jobs.handlers.embed_chunks import embed_in_turn, require
from vector.jobs.handlers.input_schema import SPACE_KEY, checked_input
from vector.spaces.coverage import coverage_of
from vector.store import VectorStore
from vector.store.spaces import active_space_of_key

__all__ = ["require", "run", "validate"]

SCHEMA = {
    "type": "object",
    "required": ["space_key"],
    "additionalProperties": False,
    "properties": {
        "space_key": SPACE_KEY,
        "piece_chunks": {
            "type": "integer",
            "minimum": 1,
            "default": 10_000,
            "description": "a number of chunks from 1, 10000 by default",
        },
    },
}


def validate(input_json: dict[str, Any]) -> dict[str, Any]:
    """The input with its defaults. Raises InvalidRecord that names the key and what to give."""
    return checked_input(input_json, SCHEMA, "REEMBED_SPACE")


def run(context: JobContext) -> dict[str, Any]:
    """Embeds piece after piece until nothing is pending. Metrics: the counts of `vector embed` summed over the pieces,
    `pieces`, `pending` (chunks that are left, as they were added or refused meanwhile) and `quarantined_in_space`.

    Raises UnusableInput when there is no such active space, and as vector.embedding.embed_space does.
    """
    given = validate(context.job.input_json)
    space = active_space_of_key(context.store, given["space_key"])
    totals: dict[str, Any] = {"pieces": 0}
    options = EmbedOptions(limit=given["piece_chunks"])
    while True:
        # embed_space puts its metrics on the run; these are of one piece.
        context.run.metrics = None
        summary = embed_in_turn(context, space, options)
        totals = _added(totals, context.run.metrics or {})
        totals["pieces"] += bool(summary.planned)
        context.run.metrics = totals
        # A piece that could do nothing would come again.
        if summary.planned < given["piece_chunks"] or not summary.written + summary.quarantined:
            break
        context.keep_going(f"{totals['pieces']} pieces")
    return {**totals, **_left(context.store, space)}


def _added(totals: dict[str, Any], metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics of both runs: numbers are summed, in nested objects too; of anything else, the latest value."""
    added = dict(totals)
    for name, value in metrics.items():
        earlier = totals.get(name)
        if isinstance(value, dict) and isinstance(earlier, dict):
            added[name] = _added(earlier, value)
        elif _is_count(value) and _is_count(earlier) and name != "batch_size":
            added[name] = earlier + value
        else:
            added[name] = value
    return added


def _is_count(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _left(store: VectorStore, space: EmbeddingSpace) -> dict[str, int]:
    counts = coverage_of(store, space)
    return {"pending": counts["pending"], "quarantined_in_space": counts["quarantined"]}
