"""The rows of a plan: what is pending in a space, kept as a temporary table and read a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from vector.contracts.models import EmbeddingSpace
from vector.embedding.options import EmbedOptions
from vector.store import VectorStore

PLAN = "vector_embedding_plan"
# Texts that are read at a time: each page reads the whole chunk table once.
PAGE = 20_000


@dataclass
class PendingText:
    """A distinct text and the chunks that wait for its vector."""

    content_sha256: str
    content: str
    chunk_ids: list[str] = field(default_factory=list)

    @cached_property
    def byte_count(self) -> int:
        """The length of the content in UTF-8."""
        return len(self.content.encode())


def store_plan(store: VectorStore, space: EmbeddingSpace, options: EmbedOptions, numbered: bool = True) -> None:
    """Keeps the plan's rows in a temporary table: chunk_id, input_content_sha256, byte_count, pending_reason, is_reused
    and text_number, which counts from 1 the texts that have a vector in the space already, then the others, shortest
    first. Not `numbered`, it is 0, which spares an engine of many machines to sort all rows in one place."""
    engine = store.engine
    space_id = space.embedding_space_id
    columns = "chunk_id, input_content_sha256, byte_count, pending_reason"
    candidates = f"select {columns} from {engine.table('embedding_pending')} where embedding_space_id = ?"
    parameters: list[Any] = [space_id]
    if options.retry_failed:
        candidates += f" union all {_quarantined(store)}"
        parameters.append(space_id)
    condition = ""
    chosen = _chosen_chunks(store, options)
    if chosen is not None:
        condition = f" where chunk_id in ({', '.join('?' * len(chosen))})" if chosen else " where 1 = 0"
        parameters += chosen
    is_reused = (
        f"case when input_content_sha256 in (select input_content_sha256 from {engine.table('embedding')}"
        " where embedding_space_id = ?) then 1 else 0 end as is_reused"
    )
    if not numbered and options.limit is None:
        select = f"select {columns}, {is_reused}, 0 as text_number from ({candidates}) as candidates{condition}"
        engine.create_temporary(PLAN, select, [space_id, *parameters])
        return
    engine.create_temporary(
        PLAN,
        "select pending.*, dense_rank() over"
        " (order by pending.is_reused desc, pending.byte_count, pending.input_content_sha256) as text_number from"
        f" (select {columns}, row_number() over (order by byte_count, input_content_sha256, chunk_id) as chunk_number,"
        f" {is_reused} from ({candidates}) as candidates{condition})"
        " as pending where pending.chunk_number <= ?",
        # 2^62: no limit, in words that both engines know.
        [space_id, *parameters, 2**62 if options.limit is None else options.limit],
    )


def _quarantined(store: VectorStore) -> str:
    """A select of the current texts that are quarantined in a space, whose id it asks for."""
    return (
        "select chunk_id, input_content_sha256, byte_count, 'failure_retried' as pending_reason"
        f" from {store.engine.table('embedding_state')} where embedding_space_id = ? and state = 'quarantined'"
    )


def _chosen_chunks(store: VectorStore, options: EmbedOptions) -> list[str] | None:
    """The ids of the chunks that the options name; None where they name none."""
    if options.chunk_ids is None and options.source_ids is None:
        return None
    chosen = list(options.chunk_ids or ())
    for source_id in options.source_ids or ():
        chosen += [chunk.chunk_id for chunk in store.list_chunks(source_id)]
    return list(dict.fromkeys(chosen))


def read_fresh_texts(store: VectorStore, most: int) -> Iterator[PendingText]:
    """The texts of the plan that the model must be called with, shortest first, `most` in all, a page at a time. A
    chunk whose text has changed since the plan was made is left out."""
    texts = (text for page in _pages(store, PAGE, is_reused=False) for text in _read_texts(store, page))
    return islice(texts, most)


def read_reused_texts(
    store: VectorStore, space: EmbeddingSpace, most: int
) -> Iterator[list[tuple[PendingText, tuple]]]:
    """Pages of the texts that have a vector in the space already, `most` in all, each with that vector and its token
    columns."""
    for page in _pages(store, PAGE // 4, is_reused=True):
        vectors = _read_vectors(store, space, page)
        texts = [text for text in _read_texts(store, page) if text.content_sha256 in vectors][:most]
        most -= len(texts)
        yield [(text, vectors[text.content_sha256]) for text in texts]


@dataclass(frozen=True)
class _Page:
    """A stretch of the plan: those `pending` rows that meet a condition with these parameters."""

    condition: str
    parameters: list[Any]


# By size and hash and not by number: an engine that lost its connection has made the plan anew, without the texts that
# were stored since, so that others have their numbers.
_AFTER = "(pending.byte_count > ? or (pending.byte_count = ? and pending.input_content_sha256 > ?))"
_UP_TO = "(pending.byte_count < ? or (pending.byte_count = ? and pending.input_content_sha256 <= ?))"


def _pages(store: VectorStore, size: int, is_reused: bool) -> Iterator[_Page]:
    """The plan's texts that have a vector in the space, or those that have none, in pages of so many."""
    plan = store.engine.temporary_table(PLAN)
    condition, parameters = f"pending.is_reused = {int(is_reused)} and {_AFTER}", [-1, -1, ""]
    while True:
        ((byte_count, content_sha256),) = store.engine.query(
            "select min(final.byte_count), min(final.input_content_sha256)"
            f" from (select min(pending.text_number) as text_number from {plan} as pending where {condition}) as first"
            f" inner join {plan} as final on final.text_number = first.text_number + {size - 1}"
            f" and final.is_reused = {int(is_reused)}",
            parameters,
        )
        if content_sha256 is None:  # fewer are left
            yield _Page(condition, parameters)
            return
        until = [byte_count, byte_count, content_sha256]
        yield _Page(f"{condition} and {_UP_TO}", [*parameters, *until])
        parameters = until


def _read_texts(store: VectorStore, page: _Page) -> Iterable[PendingText]:
    """The texts of a page with the chunks that wait for each."""
    rows = store.engine.query(
        "select chunk.content_sha256, chunk.content, chunk.chunk_id"
        f" from {store.engine.temporary_table(PLAN)} as pending"
        f" inner join {store.engine.table('chunk')} as chunk"
        " on chunk.chunk_id = pending.chunk_id and chunk.content_sha256 = pending.input_content_sha256"
        f" where {page.condition} order by pending.text_number, chunk.chunk_id",
        page.parameters,
    )
    texts: dict[str, PendingText] = {}
    for content_sha256, content, chunk_id in rows:
        texts.setdefault(content_sha256, PendingText(content_sha256, content)).chunk_ids.append(chunk_id)
    return texts.values()


def _read_vectors(store: VectorStore, space: EmbeddingSpace, page: _Page) -> dict[str, tuple]:
    """By content hash: vector, input_tokens, used_tokens, truncated_flag, tokens_estimated_flag."""
    engine = store.engine
    columns = ("vector", "input_tokens", "used_tokens", "truncated_flag", "tokens_estimated_flag")
    rows = engine.query(
        f"select embedding.input_content_sha256, {', '.join(f'embedding.{column}' for column in columns)}"
        f" from {engine.table('embedding')} as embedding inner join"
        " (select same.input_content_sha256, min(same.embedding_id) as embedding_id"
        f" from {engine.table('embedding')} as same"
        f" inner join (select distinct pending.input_content_sha256 from {engine.temporary_table(PLAN)} as pending"
        f" where {page.condition}) as pending"
        " on pending.input_content_sha256 = same.input_content_sha256"
        " where same.embedding_space_id = ? group by same.input_content_sha256) as chosen"
        " on chosen.embedding_id = embedding.embedding_id",
        [*page.parameters, space.embedding_space_id],
    )
    return {sha256: (engine.decode_vector(vector), *tokens) for sha256, vector, *tokens in rows}
