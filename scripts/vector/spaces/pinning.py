"""A space keeps to the model that filled it first: to its digest, where there is one, and to its fingerprint.

The fingerprint is what the model answered to the canary texts when the space was pinned. It tells what no digest
covers: a provider without digests, a tokenizer, a server that runs the model in another way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vector.contracts.identity import compute_content_hash, compute_vector_hash
from vector.contracts.models import EmbeddingCanary, EmbeddingSpace
from vector.errors import InvalidRecord, ProviderError, SpaceRefused, VectorError
from vector.providers.base import EmbeddingProvider, PreprocessPolicy
from vector.spaces.canaries import CANARIES, MAX_NORM_ERROR, MIN_COSINE, CanaryCalls, Comparison, compare
from vector.store import VectorStore
from vector.store.ledger_io import ConstraintRefusal
from vector.wording import SPACES

# A space may refuse long texts; with fewer canaries than these a model would hardly be told from another.
MIN_CANARIES = 8

ADVICE = f"restore that model, or add a new space, with another space_key, to {SPACES}, `dbt build`, and embed into it"


@dataclass(frozen=True)
class PinResult:
    """The model that answers is the space's. `first_use` says that the space was pinned to it just now.

    `texts`, `requests` (calls of the provider), `tokens` (those that it counted) and `seconds` are what asking for the
    canaries took. `lowest_cosine` is that of the canaries to the stored ones.
    """

    first_use: bool
    model_digest: str | None
    texts: int
    requests: int
    tokens: int
    seconds: float
    lowest_cosine: float

    def to_metrics(self) -> dict[str, Any]:
        """What a run records of it, for JSON."""
        return {
            "canary_texts": self.texts,
            "canary_requests": self.requests,
            "canary_tokens": self.tokens,
            "canary_seconds": round(self.seconds, 3),
            "canary_lowest_cosine": round(self.lowest_cosine, 6),
        }


def pin_or_check(
    store: VectorStore,
    space: EmbeddingSpace,
    provider: EmbeddingProvider,
    policy: PreprocessPolicy,
    run_id: str | None = None,
    batch_size: int | None = None,
    canaries: Sequence[EmbeddingCanary] | None = None,
    calls: CanaryCalls | None = None,
) -> PinResult:
    """Pins the space to the model on first use; later, checks that it is still that model. Call it before anything is
    embedded; no transaction is open while the model is called.

    `batch_size` is the most texts a request; None sends all canaries in one, so that an answer in another order than
    the texts is noticed. `canaries` are the stored ones, where they were read a moment ago. `calls` counts what asking
    takes, also where that fails.

    Raises SpaceRefused when another model answers, ProviderError when the model cannot be used, refuses canaries, or
    answers a batch otherwise than its texts alone, InvalidRecord when a stored canary is not what was written.
    """
    stored = _stored_canaries(store, space) if canaries is None else _checked_canaries(space, canaries)
    calls = calls or CanaryCalls(provider, policy, space.dimensions)
    if another := _another_digest(store, space, provider):
        raise _refusal(space, another, _digest(space, provider), _measured(stored, calls, batch_size))
    digest = _digest(space, provider)
    if stored:
        with provider.proving_order():
            comparison = _checked(space, provider, stored, calls.embed(sorted(stored), batch_size))
    else:
        with provider.proving_order():
            vectors = _first_vectors(space, calls, batch_size)
        refuse_swapped_model(provider, digest)
        comparison = _keep(store, space, provider, run_id, vectors)
    return PinResult(
        not stored, digest, calls.texts, calls.requests, calls.tokens, calls.seconds, comparison.lowest_cosine
    )


def refuse_another_model(store: VectorStore, space: EmbeddingSpace, provider: EmbeddingProvider) -> None:
    """Raises SpaceRefused when the space was pinned to, or has vectors of, a model with another digest than the one
    that answers now. Asks the model nothing. A provider that knows no digest passes."""
    if another := _another_digest(store, space, provider):
        raise _refusal(space, another, _digest(space, provider), None)


def refuse_swapped_model(provider: EmbeddingProvider, pinned_digest: str | None) -> None:
    """Raises SpaceRefused when the model's digest is no longer the pinned one: what it answered since then may be of
    another model, and must not be stored. Costs a small request where a server tells digests, nothing elsewhere.

    Raises ProviderError when the server does not answer or no longer has the model.
    """
    digest = provider.current_digest()
    if pinned_digest and digest and _bare(digest) != _bare(pinned_digest):
        raise SpaceRefused(
            f"the model was replaced while it was used: its digest was {pinned_digest} and is {digest} now;"
            f" what it answered last was not stored; {ADVICE}"
        )


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:").lower()


def _digest(space: EmbeddingSpace, provider: EmbeddingProvider) -> str | None:
    return provider.model_digest or space.model_digest


def _another_digest(store: VectorStore, space: EmbeddingSpace, provider: EmbeddingProvider) -> str | None:
    """A digest that the space was pinned to, or that a run had which wrote vectors of it, and that is not the model's,
    nor of one that it can become."""
    digest = _digest(space, provider)
    if digest is None:
        return None
    engine = store.engine
    found = engine.lookup(
        f"select canary.model_digest from {engine.table('embedding_canary')} as canary"
        " where canary.embedding_space_id = ? and canary.model_digest <> ?"
        f" union select run.model_digest from {engine.table('run')} as run where run.model_digest <> ?"
        f" and exists (select 1 from {engine.table('embedding')} as embedding"
        " where embedding.run_id = run.run_id and embedding.embedding_space_id = ?)",
        [space.embedding_space_id, digest, digest, space.embedding_space_id],
    )
    others = sorted({row[0] for row in found})
    become = getattr(provider, "become", lambda digest: False)
    if not others or (len(others) == 1 and become(others[0])):
        return None
    return others[0]


def _stored_canaries(store: VectorStore, space: EmbeddingSpace) -> dict[int, EmbeddingCanary]:
    return _checked_canaries(space, store.list_embedding_canaries(space.embedding_space_id))


def _checked_canaries(space: EmbeddingSpace, canaries: Iterable[EmbeddingCanary]) -> dict[int, EmbeddingCanary]:
    """The canaries that the space is pinned to, by index; none on first use. Raises InvalidRecord when one is not what
    was written."""
    stored = {canary.canary_index: canary for canary in canaries}
    for index, canary in stored.items():
        about = f"embedding_canary {index} of space {space.space_key}"
        if index >= len(CANARIES) or canary.canary_sha256 != compute_content_hash(CANARIES[index]):
            raise InvalidRecord(f"{about} is of a text that this version does not have: use the version that wrote it")
        if not _is_intact(canary):
            raise InvalidRecord(f"{about}: vector_sha256 is not the hash of the vector; restore the row from a backup")
    return stored


def _is_intact(canary: EmbeddingCanary) -> bool:
    try:
        return compute_vector_hash(canary.vector) == canary.vector_sha256
    except InvalidRecord:  # it holds no finite numbers
        return False


def _first_vectors(space: EmbeddingSpace, calls: CanaryCalls, batch_size: int | None) -> dict[int, np.ndarray]:
    """The canaries' vectors by index, each of a request of its own; those that the space's limits refuse are left out.

    Raises ProviderError when too many are refused, or a batch gives other vectors.
    """
    alone = calls.embed_each(range(len(CANARIES)))
    if len(alone) < MIN_CANARIES:
        raise ProviderError(
            f"the model refuses {len(CANARIES) - len(alone)} of {len(CANARIES)} canary texts as too long, so space"
            f" {space.space_key} cannot be pinned to it: raise the limits of tokens of the server and of the space"
        )
    if batch_size != 1:
        batch = calls.embed(sorted(alone), batch_size)
        comparison = compare(np.array(list(alone.values())), np.array(list(batch.values())))
        if not comparison.alike:
            known = "those that the model gives each text alone"
            raise _batch_refusal(space, calls.provider, comparison, known)
    return alone


def _keep(
    store: VectorStore,
    space: EmbeddingSpace,
    provider: EmbeddingProvider,
    run_id: str | None,
    vectors: Mapping[int, np.ndarray],
) -> Comparison:
    """Stores the canaries' vectors. Another run may have done so meanwhile: the space is pinned to the model of the
    first, and what is stored then is compared."""
    runtime = _runtime(provider)
    canaries = [
        EmbeddingCanary.create_new(
            space.embedding_space_id,
            index,
            compute_content_hash(CANARIES[index]),
            vector,
            model_digest=provider.model_digest or space.model_digest,
            runtime=runtime,
            run_id=run_id,
        )
        for index, vector in vectors.items()
    ]
    try:
        store.save_embedding_canaries(canaries)
    except ConstraintRefusal:
        if not _stored_canaries(store, space):
            raise
    return _checked(space, provider, _stored_canaries(store, space), vectors)


def _checked(
    space: EmbeddingSpace,
    provider: EmbeddingProvider,
    stored: Mapping[int, EmbeddingCanary],
    found: Mapping[int, np.ndarray],
) -> Comparison:
    """Compares the stored vectors with those that the model gives now. Raises SpaceRefused when they are of another
    model, ProviderError when they are in another order."""
    comparison = _compared(stored, found)
    if comparison.alike:
        return comparison
    if comparison.reordered:
        raise _batch_refusal(space, provider, comparison, "the stored ones")
    first = stored[min(stored)]
    digest = provider.model_digest or space.model_digest
    raise _refusal(space, first.model_digest, digest, comparison, (first.runtime, _runtime(provider)))


def _compared(known: Mapping[int, EmbeddingCanary], found: Mapping[int, np.ndarray]) -> Comparison:
    indexes = sorted(known.keys() & found.keys())
    return compare(np.array([known[index].vector for index in indexes]), np.array([found[index] for index in indexes]))


def _runtime(provider: EmbeddingProvider) -> str | None:
    described = provider.describe()
    return " ".join(filter(None, [described.runtime, described.runtime_version]))[:100] or None


def _measured(stored: Mapping[int, EmbeddingCanary], calls: CanaryCalls, batch_size: int | None) -> Comparison | None:
    """How unlike a model of another digest is, for the operator; None where that cannot be measured."""
    if not stored:
        return None
    try:
        return _compared(stored, calls.embed(sorted(stored), batch_size))
    except VectorError:
        return None


def _refusal(
    space: EmbeddingSpace,
    pinned_digest: str | None,
    digest: str | None,
    comparison: Comparison | None,
    runtimes: tuple[str | None, str | None] = (None, None),
) -> SpaceRefused:
    """That another model answers: both digests, how unlike its vectors are, and what to do."""
    told = [
        f"space {space.space_key} belongs to another model than the one that answers now: its digest was"
        f" {pinned_digest or 'unknown'}, and that of the one now is {digest or 'unknown'}"
    ]
    if runtimes[0] != runtimes[1]:
        told.append(f"it ran on {runtimes[0] or 'an unknown runtime'}, now on {runtimes[1] or 'an unknown one'}")
    if comparison:
        told.append(_figures(comparison, "the stored ones"))
    return SpaceRefused(f"{'; '.join(told)}; {ADVICE}")


def _batch_refusal(
    space: EmbeddingSpace, provider: EmbeddingProvider, comparison: Comparison, known: str
) -> ProviderError:
    """That a batch cannot be trusted, and what the server does."""
    untold = f" and with {provider.untold_order}" if provider.untold_order else ""
    how = "in another order than its texts" if comparison.reordered else "with other vectors than its texts alone"
    return ProviderError(
        f"the model of space {space.space_key} answers a batch {how}{untold}: {_figures(comparison, known)};"
        " nothing was stored; mend the server, or send one text a request (--batch-size 1)"
    )


def _figures(comparison: Comparison, known: str) -> str:
    told = (
        f"over {comparison.texts} canary texts the cosine of the vectors to {known} is {comparison.lowest_cosine:.6f}"
        f" at the lowest and {comparison.mean_cosine:.6f} on average ({MIN_COSINE} is wanted)"
    )
    if comparison.norm_error > MAX_NORM_ERROR:
        told += f", and norms differ by up to {comparison.norm_error:.1%} ({MAX_NORM_ERROR:.0%} is allowed)"
    if comparison.reordered:
        told += ", while each vector has its like among those of the other texts"
    return told
