"""EMBED_CHUNKS: embeds what is pending in a space, all of it or of given chunks or sources. As `vector embed` does.

Input (described in docs/operations.md):

    space_key    the space, which is active; by default that of the job's `embedding_space_id`
    chunk_ids    only these chunks, or
    source_ids   only the chunks of these sources
    limit        at most so many chunks

What is named but not pending (it has its vector, is retired, or quarantined) is left alone.
"""

from __future__ import annotations

import time
from typing import Any

from vector.contracts.models import EmbeddingSpace
from vector.embedding import EmbedOptions, EmbedSummary, embed_space
from vector.embedding.open_models import OPEN_MODELS
from vector.errors import InvalidRecord, SpaceBusy
from vector.jobs.context import JobContext
from vector.jobs.handlers.input_schema import SPACE_KEY, checked_input
from vector.store import VectorStore
from vector.store.spaces import active_space_of_key

# Seconds between two looks whether the space is free.
WAIT = 1.0

_CHUNK_ID = {"type": "string", "minLength": 1, "maxLength": 64, "description": "chunk ids of 1 to 64 characters"}
_SOURCE_ID = {"type": "string", "minLength": 1, "maxLength": 400, "description": "source ids of 1 to 400 characters"}
SCHEMA = {
    "type": "object",
    "required": ["space_key"],
    "additionalProperties": False,
    "properties": {
        "space_key": SPACE_KEY,
        "chunk_ids": {"type": "array", "items": _CHUNK_ID, "minItems": 1, "uniqueItems": True},
        "source_ids": {"type": "array", "items": _SOURCE_ID, "minItems": 1, "uniqueItems": True},
        "limit": {"type": "integer", "minimum": 1, "description": "a number of chunks from 1"},
    },
}


def validate(input_json: dict[str, Any]) -> dict[str, Any]:
    """The input. Raises InvalidRecord that names the key and what to give."""
    given = checked_input(input_json, SCHEMA, "EMBED_CHUNKS")
    if "chunk_ids" in given and "source_ids" in given:
        raise InvalidRecord("EMBED_CHUNKS input: chunk_ids and source_ids are both given; give one of them, or none")
    return given


def require(store: VectorStore, given: dict[str, Any]) -> None:
    """Raises UnusableInput when there is no such active space."""
    active_space_of_key(store, given["space_key"])


def run(context: JobContext) -> dict[str, Any]:
    """Embeds and gives the metrics that `vector embed` records. When the worker must end, what the model has answered
    is stored before JobStopped is raised.

    Raises UnusableInput when there is no such active space, and as vector.embedding.embed_space does.
    """
    given = validate(context.job.input_json)
    space = active_space_of_key(context.store, given["space_key"])
    options = EmbedOptions(
        limit=given.get("limit"), chunk_ids=given.get("chunk_ids"), source_ids=given.get("source_ids")
    )
    embed_in_turn(context, space, options)
    return dict(context.run.metrics or {})


def embed_in_turn(context: JobContext, space: EmbeddingSpace, options: EmbedOptions) -> EmbedSummary:
    """Embeds; while another job or `vector embed` is at work in the space, waits for it. Two at once would both pay for
    a text that both have, and one alone keeps the model busy."""
    while True:
        try:
            return embed_space(
                context.store,
                space,
                options,
                on_progress=stop_between_batches(context),
                run=context.run,
                models=OPEN_MODELS,
            )
        except SpaceBusy:
            context.keep_going("waiting for its turn")
            time.sleep(WAIT)


def stop_between_batches(context: JobContext) -> Any:
    """A callback for embed_space's progress: once, when asked to, stops. The worker extends the lease meanwhile."""
    stopped = False

    def on_progress(summary: EmbedSummary) -> None:
        nonlocal stopped
        # What is under way when it stops is stored, with progress of its own.
        if not stopped and context.should_stop():
            stopped = True
            context.keep_going(f"{summary.written} vectors")

    return on_progress
