"""What is pending in a space: counted and priced before anything is spent."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from vector.contracts.models import EmbeddingSpace
from vector.embedding.batching import batches_of, even_size
from vector.embedding.options import EmbedOptions
from vector.embedding.pending import PLAN, read_fresh_texts, store_plan
from vector.embedding.throughput import EarlierRuns, earlier_runs
from vector.errors import ConfigurationError
from vector.providers import provider_class, token_counter
from vector.providers.base import EmbeddingProvider, PreprocessPolicy, estimated_tokens_of
from vector.store import VectorStore
from vector.wording import SPACES

# Up to so many texts a plan counts tokens with the model's own tokenizer, where it is in this process.
COUNTED_TEXTS = 10_000


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


def plan_space(
    store: VectorStore,
    space: EmbeddingSpace,
    options: EmbedOptions | None = None,
    priced: bool = True,
    numbered: bool = True,
) -> EmbedPlan:
    """What is pending in the space, kept in a temporary table of this session for embed_space to read. Not `priced`,
    it has no tokens, requests, cost and seconds. `numbered` is of store_plan."""
    options = options or EmbedOptions()
    store_plan(store, space, options, numbered)
    plan = store.engine.temporary_table(PLAN)
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
    return _priced(store, space, options, policy, counted, fresh) if priced else counted


def _priced(
    store: VectorStore,
    space: EmbeddingSpace,
    options: EmbedOptions,
    policy: PreprocessPolicy,
    plan: EmbedPlan,
    sizes: list[tuple[int, int]],
) -> EmbedPlan:
    """The plan with what it takes. `sizes` are (bytes, texts) of the inputs that the model must see, shortest first."""
    earlier = earlier_runs(store, space)
    tokens, tokens_by = _tokens(store, space, policy, plan, sizes, earlier)
    every = (estimated_tokens_of(size) for size, count in sizes for _ in range(count))
    limits = first_batches(provider_class(space.provider), options, plan.texts_to_embed, earlier.max_batch_texts)
    return replace(
        plan,
        tokens=tokens,
        tokens_by=tokens_by,
        requests=sum(1 for _ in batches_of(every, lambda tokens: tokens, *limits)),
        cost=cost_of(space, tokens),
        seconds=plan.input_bytes / earlier.bytes_per_second if earlier.bytes_per_second else None,
    )


def _tokens(
    store: VectorStore,
    space: EmbeddingSpace,
    policy: PreprocessPolicy,
    plan: EmbedPlan,
    sizes: list[tuple[int, int]],
    earlier: EarlierRuns,
) -> tuple[int, str]:
    """Tokens of the inputs, and how they are known: `tokens_by` of an EmbedPlan."""
    counter = token_counter(space) if 0 < plan.texts_to_embed <= COUNTED_TEXTS else None
    if counter:
        texts = read_fresh_texts(store, plan.texts_to_embed)
        return sum(counter([policy.document_input(text.content) for text in texts])), "tokenizer"
    if earlier.tokens_per_byte:
        return round(earlier.tokens_per_byte * plan.input_bytes), "earlier_runs"
    return sum(estimated_tokens_of(size) * count for size, count in sizes), "bytes"


def first_batches(
    provider: EmbeddingProvider | type[EmbeddingProvider],
    options: EmbedOptions,
    texts: int,
    max_batch_texts: int | None = None,
) -> tuple[int, int | None]:
    """Texts, and estimated tokens, of the first batches of a run with so many texts. The threads of a model in this
    process get batches of one size, so that none waits for another at the end; a server gets full ones, of at most
    `max_batch_texts` where earlier runs found such a limit and no size is asked for."""
    size, tokens = provider.batch_limits(options.batch_size)
    if options.batch_size is None and not provider.in_process:
        size = min(size, max_batch_texts or size)
    if provider.in_process and options.batch_size is None:
        size = even_size(texts, size, options.concurrency or provider.preferred_concurrency)
    return size, tokens


# Sums of it, over as many tokens as there can be, are finite.
_HIGHEST_PRICE = 1e12


def refuse_unpriced(space: EmbeddingSpace, options: EmbedOptions) -> None:
    """Raises ConfigurationError when a limit of cost is given for a space without a price whose model a server has: for
    one in this process nobody is paid. So does a price that is none: every limit would be kept by it."""
    price = space.price_per_million_tokens
    if price is not None and not 0 <= price <= _HIGHEST_PRICE:
        raise ConfigurationError(
            f"space {space.space_key}: price_per_million_tokens is {price:g}, which is no price: correct it in"
            f" {SPACES} and run `dbt build`"
        )
    unpriced = options.max_cost is not None and space.price_per_million_tokens is None
    if unpriced and not provider_class(space.provider).in_process:
        raise ConfigurationError(
            f"space {space.space_key} has no price_per_million_tokens, which a limit of cost needs: set it, to 0"
            f" where nothing is paid, in {SPACES} and run `dbt build`"
        )


def cost_of(space: EmbeddingSpace, tokens: int) -> float | None:
    """What so many tokens cost in the space; None where it has no price."""
    price = space.price_per_million_tokens
    return None if price is None else tokens * price / 1_000_000
