"""Pinning to models of this process, and the ledger `embedding_canary`: what it takes, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vector.contracts.models import EmbeddingCanary
from vector.embedding import EmbedOptions, embed_space
from vector.errors import InvalidRecord, ProviderError, SpaceRefused
from vector.providers.base import PreprocessPolicy
from vector.providers.hash import HashProvider
from vector.spaces.canaries import CANARIES
from vector.spaces.pinning import pin_or_check, refuse_another_model, refuse_swapped_model

COUNT = len(CANARIES)
POLICY = PreprocessPolicy()


class ScaledHash(HashProvider):
    """A hash whose vectors, of several texts at once or always, have another length."""

    scale, batch_scale = 1.0, 1.0

    def embed(self, texts):
        reply = super().embed(texts)
        scale = self.scale * (self.batch_scale if len(texts) > 1 else 1)
        return replace(reply, vectors=reply.vectors * np.float32(scale))


@pytest.fixture
def free_space(store):
    """A space that does not normalise."""
    return store.get_or_create_embedding_space("hash", "free", 8, normalize_flag=False)


@pytest.mark.parametrize(("scale", "refused"), [(1.005, False), (0.995, False), (1.02, True), (0.5, True)])
def test_norms_count_where_a_space_keeps_them(store, free_space, scale, refused):
    provider = ScaledHash(free_space)
    assert pin_or_check(store, free_space, provider, POLICY).first_use
    provider.scale = scale
    if refused:
        with pytest.raises(SpaceRefused, match=rf"norms differ by up to {abs(scale - 1):.1%}"):
            pin_or_check(store, free_space, provider, POLICY)
    else:
        assert not pin_or_check(store, free_space, provider, POLICY).first_use


def test_a_batch_that_answers_otherwise_than_its_texts_alone_is_not_trusted(store, free_space):
    provider = ScaledHash(free_space)
    provider.batch_scale = 1.1
    with pytest.raises(ProviderError, match="a batch with other vectors than its texts alone: .*norms differ"):
        pin_or_check(store, free_space, provider, POLICY)
    assert store.list_embedding_canaries(free_space.embedding_space_id) == []


@pytest.mark.parametrize("batch_size", [1, 3, 16, 100, None])
def test_canaries_are_sent_in_batches_of_the_size_asked_for(store, free_space, batch_size):
    first = pin_or_check(store, free_space, HashProvider(free_space), POLICY, batch_size=batch_size)
    batches = {1: 16, 3: 6}.get(batch_size, 1)
    assert (first.requests, first.texts) == ((16, 16) if batch_size == 1 else (16 + batches, 32))
    later = pin_or_check(store, free_space, HashProvider(free_space), POLICY, batch_size=batch_size)
    assert (later.requests, later.texts, later.first_use) == (batches, 16, False)


@pytest.mark.parametrize("scale", [1.0, 2.0], ids=["one model", "two models"])
def test_runs_that_pin_at_once_are_pinned_to_the_first(store, free_space, scale):
    """While one asks for the canaries, another stores those of its model."""
    first = ScaledHash(free_space)
    first.scale = scale

    class Overtaken(HashProvider):
        def embed(self, texts):
            if len(texts) > 1:
                assert pin_or_check(store, free_space, first, POLICY).first_use
            return super().embed(texts)

    if scale == 1:
        pin_or_check(store, free_space, Overtaken(free_space), POLICY)
    else:
        with pytest.raises(SpaceRefused, match="norms differ"):
            pin_or_check(store, free_space, Overtaken(free_space), POLICY)
    assert len(store.list_embedding_canaries(free_space.embedding_space_id)) == COUNT
    assert pin_or_check(store, free_space, first, POLICY).lowest_cosine == pytest.approx(1)


# Digests


class Digested(HashProvider):
    model_digest = f"sha256:{'a' * 64}"
    now: str | None = None

    def current_digest(self):
        return self.now


@pytest.mark.parametrize(
    ("pinned", "now", "swapped"),
    [
        (f"sha256:{'a' * 64}", f"sha256:{'a' * 64}", False),
        ("A" * 64, f"sha256:{'a' * 64}", False),
        (None, f"sha256:{'a' * 64}", False),
        (f"sha256:{'a' * 64}", None, False),
        (None, None, False),
        (f"sha256:{'a' * 64}", f"sha256:{'b' * 64}", True),
    ],
)
def test_a_swapped_model_is_known_by_its_digest(space, pinned, now, swapped):
    provider = Digested(space)
    provider.now = now
    if swapped:
        with pytest.raises(SpaceRefused, match=f"was {pinned} and is {now} now"):
            refuse_swapped_model(provider, pinned)
    else:
        refuse_swapped_model(provider, pinned)


def test_the_digest_of_the_canaries_pins_too(store, free_space):
    provider = Digested(free_space)
    assert pin_or_check(store, free_space, provider, POLICY).model_digest == provider.model_digest
    refuse_another_model(store, free_space, provider)
    provider.model_digest = f"sha256:{'b' * 64}"
    with pytest.raises(SpaceRefused, match=f"was sha256:{'a' * 64}, .* is sha256:{'b' * 64}; restore"):
        refuse_another_model(store, free_space, provider)
    refuse_another_model(store, free_space, HashProvider(free_space))  # it knows of no digest


# The ledger


def test_a_run_reads_the_canaries_once(store, free_space, monkeypatch):
    read, list_canaries = [], store.list_embedding_canaries
    monkeypatch.setattr(
        store, "list_embedding_canaries", lambda space_id: read.append(space_id) or list_canaries(space_id)
    )
    for reads in (2, 1):  # on first use once more, when they are stored
        read.clear()
        assert embed_space(store, free_space, EmbedOptions(limit=2)).written == 2
        assert len(read) == reads


def test_canaries_are_saved_once(store, space, embedding):
    first = EmbeddingCanary.create_new(space.embedding_space_id, 90, "0" * 64, embedding.vector, runtime="r")
    assert store.save_embedding_canaries([first]).inserted == 1
    again = EmbeddingCanary.create_new(space.embedding_space_id, 90, "1" * 64, [1.0, *[0.0] * 7])
    assert not store.save_embedding_canaries([again])
    assert store.list_embedding_canaries(space.embedding_space_id)[-1] == first
    assert len(store.list_embedding_canaries()) == COUNT + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vector": [1.0]}, "canary 91 of space .*: the vector has 1 elements, space hash has 8"),
        ({"vector": [float("nan")] * 8}, "is not finite"),
        ({"vector": [1.0, *[0.0] * 7]}, "vector_sha256 is not the hash of the vector"),
        ({"canary_index": -1}, "canary_index must be a whole number from 0"),
        ({"canary_index": True}, "canary_index must be a whole number from 0"),
        ({"embedding_space_id": "unknown"}, "embedding space unknown is not in the ledger"),
        ({"run_id": "unknown"}, "embedding_canary: .*foreign key.*run_id: unknown"),
        ({"runtime": "r" * 101}, "embedding_canary.runtime: has 101 characters, the ledger holds 100"),
    ],
)
def test_a_wrong_canary_is_refused_with_its_batch(store, space, embedding, change, message):
    right, wrong = (
        EmbeddingCanary.create_new(space.embedding_space_id, index, "0" * 64, embedding.vector) for index in (90, 91)
    )
    with pytest.raises(InvalidRecord, match=message):
        store.save_embedding_canaries([right, replace(wrong, **change)])
    assert len(store.list_embedding_canaries(space.embedding_space_id)) == COUNT


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        ("vector = list_reverse(vector)", "vector_sha256 is not the hash of the vector; restore the row"),
        ("canary_sha256 = repeat('0', 64)", "is of a text that this version does not have"),
        ("canary_index = 16", "is of a text that this version does not have"),
    ],
)
def test_a_canary_that_was_changed_behind_our_back_is_told_from_another_model(project, space, plant, message):
    with project.connect() as connection:
        connection.execute(f"update embedding_canary set {plant} where canary_index = 3")
        connection.execute("delete from embedding")
    done = project.vector("embed")
    assert done.exit_code == 2
    assert "embedding_canary" in done.stderr
    assert message in done.stderr
    assert project.query("select count(*) from embedding") == [(0,)]
