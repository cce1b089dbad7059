"""What is pending in a space: counted and priced before anything is spent, and read in the order of the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from vector.batching import batches_of
from vector.contracts.models import EmbeddingSpace
from vector.errors import ConfigurationError
from vector.history import EarlierRuns, earlier_runs
from vector.providers import provider_class, token_counter
from vector.providers.base import PreprocessPolicy, estimated_tokens_of
from vector.store import VectorStore

_PLAN = "vector_embedding_plan"
# Texts that are read at a time: each page reads the whole chunk table once.
PAGE = 20_000
# Up to so many texts a plan counts tokens with the model's own tokenizer, where it is in this process.
COUNTED_TEXTS = 10_000


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


@dataclass(frozen=True)
class EmbedPlan:
    """What embedding a space would do now. Counts of chunks and of distinct texts.

    `input_bytes` is UTF-8 of the texts that the model would see, prefixes included. `tokens` are theirs, as the model's
    own tokenizer counts them, by the tokens a byte that earlier runs had, or by the third part of the bytes:
    `tokens_by` says which ("tokenizer", "earlier_runs", "bytes"). `requests` holds as long as batches keep their first
    size: a server that does better with larger ones gets fewer. `cost` is None where the space has no price, `seconds`
    where no run of the space has finished yet. The canaries that each run checks the model with are not counted.
    """

    space_key: str
    chunks: int = 0
    chunks_by_reason: dict[str, int] = field(default_factory=dict)
    texts: int = 0
    texts_reused: int = 0
    input_bytes: int = 0
    tokens: int = 0
    tokens_by: str = "bytes"
    requests: int = 0
    cost: float | None = None
    seconds: float | None = None

    @property
    def texts_to_embed(self) -> int:
        """Distinct texts that the model would be called with."""
        return self.texts - self.texts_reused

    @property
    def chunks_reused(self) -> int:
        """Chunks that would get the vector of an equal text, without a call of their own."""
        return self.chunks - self.texts_to_embed

    def to_dict(self) -> dict[str, Any]:
        """The fields, and the two properties, for JSON."""
        return {**asdict(self), "texts_to_embed": self.texts_to_embed, "chunks_reused": self.chunks_reused}


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


def plan_space(
    store: VectorStore, space: EmbeddingSpace, options: EmbedOptions | None = None, priced: bool = True
) -> EmbedPlan:
    """What is pending in the space, kept in a temporary table of this session for embed_space to read. Not `priced`,
    it has no tokens, requests, cost and seconds."""
    options = options or EmbedOptions()
    _materialize(store, space, options)
    plan = store.engine.materialized(_PLAN)
    reasons = store.engine.query(f"select pending_reason, count(*) from {plan} group by pending_reason order by 1")
    by_reason = {reason: int(count) for reason, count in reasons}
    texts = f"(select distinct input_content_sha256, byte_count, is_reused from {plan}) as texts"
    sizes = store.engine.query(
        f"select is_reused, byte_count, count(*) from {texts} group by is_reused, byte_count order by 1, 2"
    )
    reused = sum(int(count) for is_reused, _, count in sizes if is_reused)
    policy = PreprocessPolicy.from_dict(space.preprocess_policy)
    fresh = [(policy.input_bytes(int(size)), int(count)) for is_reused, size, count in sizes if not is_reused]
    counted = EmbedPlan(
        space_key=space.space_key or "",
        chunks=sum(by_reason.values()),
        chunks_by_reason=by_reason,
        texts=reused + sum(count for _, count in fresh),
        texts_reused=reused,
        input_bytes=sum(size * count for size, count in fresh),
    )
    return _priced(store, space, options, counted, fresh) if priced else counted


def _priced(
    store: VectorStore, space: EmbeddingSpace, options: EmbedOptions, plan: EmbedPlan, sizes: list[tuple[int, int]]
) -> EmbedPlan:
    """The plan with what it takes. `sizes` are (bytes, texts) of the inputs that the model must see, shortest first."""
    earlier = earlier_runs(store, space)
    tokens, tokens_by = _tokens(store, space, plan, sizes, earlier)
    every = (estimated_tokens_of(size) for size, count in sizes for _ in range(count))
    limits = provider_class(space.provider).batch_limits(options.batch_size)
    return replace(
        plan,
        tokens=tokens,
        tokens_by=tokens_by,
        requests=sum(1 for _ in batches_of(every, lambda tokens: tokens, *limits)),
        cost=cost_of(space, tokens),
        seconds=plan.input_bytes / earlier.bytes_per_second if earlier.bytes_per_second else None,
    )


def _tokens(
    store: VectorStore, space: EmbeddingSpace, plan: EmbedPlan, sizes: list[tuple[int, int]], earlier: EarlierRuns
) -> tuple[int, str]:
    """Tokens of the inputs, and how they are known: `tokens_by` of an EmbedPlan."""
    counter = token_counter(space) if 0 < plan.texts_to_embed <= COUNTED_TEXTS else None
    if counter:
        policy = PreprocessPolicy.from_dict(space.preprocess_policy)
        texts = read_fresh_texts(store, plan)
        return sum(counter([policy.document_input(text.content) for text in texts])), "tokenizer"
    if earlier.tokens_per_byte:
        return round(earlier.tokens_per_byte * plan.input_bytes), "earlier_runs"
    return sum(estimated_tokens_of(size) * count for size, count in sizes), "bytes"


def refuse_unpriced(space: EmbeddingSpace, options: EmbedOptions) -> None:
    """Raises ConfigurationError when a limit of cost is given for a space without a price."""
    if options.max_cost is not None and space.price_per_million_tokens is None:
        raise ConfigurationError(
            f"space {space.space_key} has no price_per_million_tokens, which a limit of cost needs: set it in"
            " seeds/embedding_space_seed.csv (0 where nothing is paid) and run `dbt build`"
        )


def cost_of(space: EmbeddingSpace, tokens: int) -> float | None:
    """What so many tokens cost in the space; None where it has no price."""
    price = space.price_per_million_tokens
    return None if price is None else tokens * price / 1_000_000


def _materialize(store: VectorStore, space: EmbeddingSpace, options: EmbedOptions) -> None:
    """The plan's rows: chunk_id, input_content_sha256, byte_count, pending_reason, is_reused and text_number, which
    counts from 1 the texts that have a vector in the space already, then the others, shortest first."""
    engine = store.engine
    space_id = space.embedding_space_id
    columns = "chunk_id, input_content_sha256, byte_count, pending_reason"
    candidates = f"select {columns} from {engine.table('embedding_pending')} where embedding_space_id = ?"
    parameters: list[Any] = [space_id]
    if options.retry_failed:
        candidates += f" union all {_quarantined(store)}"
        parameters += [space_id, space_id, space_id]
    condition = ""
    chosen = _chosen_chunks(store, options)
    if chosen is not None:
        condition = f" where chunk_id in ({', '.join('?' * len(chosen))})" if chosen else " where 1 = 0"
        parameters += chosen
    engine.materialize(
        _PLAN,
        "select pending.*, dense_rank() over"
        " (order by pending.is_reused desc, pending.byte_count, pending.input_content_sha256) as text_number from"
        f" (select {columns}, row_number() over (order by byte_count, input_content_sha256, chunk_id) as chunk_number,"
        f" case when input_content_sha256 in (select input_content_sha256 from {engine.table('embedding')}"
        f" where embedding_space_id = ?) then 1 else 0 end as is_reused from ({candidates}) as candidates{condition})"
        " as pending where pending.chunk_number <= ?",
        # 2^62: no limit, in words that both engines know.
        [space_id, *parameters, 2**62 if options.limit is None else options.limit],
    )


def _quarantined(store: VectorStore) -> str:
    """A select of the current texts that are quarantined in a space and not due; its id is asked for three times."""
    table = store.engine.table
    return (
        "select chunk.chunk_id, chunk.content_sha256 as input_content_sha256, chunk.byte_count,"
        f" 'failure_retried' as pending_reason from {table('embedding_failure')} as failure"
        f" inner join {table('chunk')} as chunk on chunk.chunk_id = failure.chunk_id"
        " and chunk.content_sha256 = failure.input_content_sha256"
        " where failure.embedding_space_id = ? and chunk.retired_utc is null"
        f" and not exists (select 1 from {table('embedding')} as embedding where embedding.embedding_space_id = ?"
        " and embedding.chunk_id = chunk.chunk_id and embedding.input_content_sha256 = chunk.content_sha256)"
        f" and not exists (select 1 from {table('embedding_pending')} as due where due.embedding_space_id = ?"
        " and due.chunk_id = chunk.chunk_id)"
    )


def _chosen_chunks(store: VectorStore, options: EmbedOptions) -> list[str] | None:
    """The ids of the chunks that the options name; None where they name none."""
    if options.chunk_ids is None and options.source_ids is None:
        return None
    chosen = list(options.chunk_ids or ())
    for source_id in options.source_ids or ():
        chosen += [chunk.chunk_id for chunk in store.list_chunks(source_id)]
    return list(dict.fromkeys(chosen))


def read_fresh_texts(store: VectorStore, plan: EmbedPlan) -> Iterator[PendingText]:
    """The texts of the plan that the model must be called with, shortest first, a page at a time. A chunk whose text
    has changed since the plan was made is left out."""
    for first in range(plan.texts_reused + 1, plan.texts + 1, PAGE):
        yield from read_texts(store, first, min(first + PAGE - 1, plan.texts))


def read_reused_texts(
    store: VectorStore, space: EmbeddingSpace, plan: EmbedPlan
) -> Iterator[list[tuple[PendingText, tuple]]]:
    """Pages of the texts that have a vector in the space already, each with that vector and its token columns."""
    for first in range(1, plan.texts_reused + 1, PAGE // 4):
        last = min(first + PAGE // 4 - 1, plan.texts_reused)
        vectors = _read_vectors(store, space, first, last)
        texts = read_texts(store, first, last)
        yield [(text, vectors[text.content_sha256]) for text in texts if text.content_sha256 in vectors]


def read_texts(store: VectorStore, first: int, last: int) -> Iterable[PendingText]:
    """The texts of the plan from number `first` to `last`, counted from 1, with the chunks that wait for each. A chunk
    whose text has changed since the plan was made is left out."""
    rows = store.engine.query(
        f"select chunk.content_sha256, chunk.content, chunk.chunk_id from {store.engine.materialized(_PLAN)} as pending"
        f" inner join {store.engine.table('chunk')} as chunk"
        " on chunk.chunk_id = pending.chunk_id and chunk.content_sha256 = pending.input_content_sha256"
        " where pending.text_number between ? and ? order by pending.text_number, chunk.chunk_id",
        [first, last],
    )
    texts: dict[str, PendingText] = {}
    for content_sha256, content, chunk_id in rows:
        texts.setdefault(content_sha256, PendingText(content_sha256, content)).chunk_ids.append(chunk_id)
    return texts.values()


def _read_vectors(store: VectorStore, space: EmbeddingSpace, first: int, last: int) -> dict[str, tuple]:
    """By content hash: vector, input_tokens, used_tokens, truncated_flag, tokens_estimated_flag."""
    engine = store.engine
    columns = ("vector", "input_tokens", "used_tokens", "truncated_flag", "tokens_estimated_flag")
    rows = engine.query(
        f"select embedding.input_content_sha256, {', '.join(f'embedding.{column}' for column in columns)}"
        f" from {engine.table('embedding')} as embedding inner join"
        " (select same.input_content_sha256, min(same.embedding_id) as embedding_id"
        f" from {engine.table('embedding')} as same"
        f" inner join (select distinct input_content_sha256 from {engine.materialized(_PLAN)}"
        " where is_reused = 1 and text_number between ? and ?) as pending"
        " on pending.input_content_sha256 = same.input_content_sha256"
        " where same.embedding_space_id = ? group by same.input_content_sha256) as chosen"
        " on chosen.embedding_id = embedding.embedding_id",
        [first, last, space.embedding_space_id],
    )
    return {sha256: (engine.decode_vector(vector), *tokens) for sha256, vector, *tokens in rows}
