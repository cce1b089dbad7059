"""The declared chunk policies: rows of `chunk_policy_input`, as objects that cut."""

from __future__ import annotations

from typing import Any

from vector.chunking.extraction_policy import ExtractionPolicy
from vector.chunking.paragraphs import ParagraphPolicy
from vector.chunking.splitting import SplitterPolicy
from vector.chunking.windows import ChunkingPolicy
from vector.errors import ConfigurationError, UnusableInput
from vector.store import VectorStore

_COLUMNS = (
    "policy_version, chunk_size, overlap, max_chunks_per_source, method, tokenizer, payload_format, json_path,"
    " value_format"
)


def named_policy(store: VectorStore, policy_version: str) -> ChunkingPolicy:
    """The active policy of this version, whatever source type it is for.

    Raises UnusableInput when there is none, ConfigurationError when its row cannot cut.
    """
    rows = _active_rows(store, "policy_version", policy_version)
    if not rows:
        raise UnusableInput(
            f"chunk policy {policy_version!r} is not an active row of chunk_policy_input; add it and run `dbt build`"
        )
    return policy_of_row(rows[0])


def policy_of_type(store: VectorStore, source_type: str) -> ChunkingPolicy | None:
    """The active policy of the source type, of any method, else the one of `*`; None where there is neither."""
    rows = _active_rows(store, "source_type", source_type) or _active_rows(store, "source_type", "*")
    return policy_of_row(rows[0]) if rows else None


def policy_of_row(row: tuple[Any, ...]) -> ChunkingPolicy:
    """The policy of a row: version, chunk_size, overlap, max_chunks_per_source, method, tokenizer, payload_format,
    json_path, value_format. A method that is null is `characters`; SQL cuts by that and by `paragraphs`. Raises
    ConfigurationError when it cannot cut."""
    version, chunk_size, overlap, cap, method, tokenizer, *of_payload = row
    sizes = (int(chunk_size), int(overlap), int(cap), version)
    try:
        if method in (None, "characters"):
            return ChunkingPolicy(*sizes)
        if method == "paragraphs":
            return ParagraphPolicy(*sizes)
        if method == "extract":
            return ExtractionPolicy(*sizes, *(each or None for each in of_payload))
        return SplitterPolicy(*sizes, method=method, tokenizer=tokenizer or None)
    except ValueError as error:
        raise ConfigurationError(
            f"chunk policy {version!r}: {error}; correct it (seeds/chunk_policy.csv, or the variable chunk_policies)"
        ) from None


def _active_rows(store: VectorStore, column: str, value: str) -> list[tuple]:
    store.require_built("chunk_policy_input")
    # Python takes the flag as it comes: the engines word a test of it in ways of their own.
    rows = store.engine.query(
        f"select {_COLUMNS}, is_active from {store.engine.table('chunk_policy_input')} where {column} = ?", [value]
    )
    return [row[:-1] for row in rows if row[-1]]
