"""The canary texts, how they are asked for, and how two models' vectors of them are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vector.contracts.identity import canonical_json, compute_content_hash, require_storable_text
from vector.contracts.models import EmbeddingSpace
from vector.errors import InputRefused, ProviderError
from vector.providers.base import PreprocessPolicy, estimated_tokens
from vector.providers.hash import HashProvider
from vector.providers.onnx_models import DEFAULT_MODEL, locate_tokenizer
from vector.spaces.canaries import CANARIES, CanaryCalls, compare

COUNT = len(CANARIES)


# The texts


def test_the_canary_texts_never_change():
    """Spaces are pinned to their vectors. If this fails, undo the change: no new hash makes it right."""
    assert compute_content_hash(canonical_json(list(CANARIES))) == (
        "af958a7320ba593dcfa3d881643fa70addcc57df6bbf84390ef03ef24d464211"
    )


def test_the_canary_texts_are_what_any_server_takes():
    assert COUNT == len(set(CANARIES)) == 16
    for text in CANARIES:
        require_storable_text(text, "a canary")
        assert text.strip()
    # A token is at least a byte: only the two long ones could have more than 250.
    assert sum(len(text.encode()) > 250 for text in CANARIES) == 2
    assert max(len(text.split()) for text in CANARIES) < 150


def test_the_canary_texts_fit_the_default_model():
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(locate_tokenizer(DEFAULT_MODEL)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    assert max(len(tokenizer.encode(text).ids) for text in CANARIES) < 256


@pytest.mark.parametrize(
    "key",
    [str, str.lower, len, lambda text: len(text.encode()), lambda text: len(text.split())],
    ids=["text", "lower case", "characters", "bytes", "words"],
)
def test_no_server_that_sorts_texts_gives_them_in_their_order(key):
    for reverse in (False, True):
        assert sorted(CANARIES, key=key, reverse=reverse) != list(CANARIES)


# The comparison


def unit_vectors(seed, dimensions, count=COUNT):
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 48)
powers = st.floats(-15, 15).map(lambda power: 10.0**power)


@given(seeds, sizes, powers, st.floats(-0.0099, 0.0099))
def test_the_same_vectors_are_alike_whatever_their_length(seed, dimensions, norm, change):
    known = unit_vectors(seed, dimensions) * norm
    found = known * (1 + change)
    comparison = compare(known, found)
    assert comparison.alike
    assert not comparison.reordered
    assert comparison.lowest_cosine == pytest.approx(1)
    assert comparison.norm_error == pytest.approx(abs(change), abs=1e-6)


@given(seeds, sizes, st.integers(0, COUNT - 1), st.sampled_from([0.5, 0.98, 1.02, 3.0]))
def test_one_vector_of_another_norm_is_enough(seed, dimensions, which, factor):
    known = unit_vectors(seed, dimensions)
    found = known.copy()
    found[which] *= factor
    comparison = compare(known, found)
    assert not comparison.alike
    assert comparison.lowest_cosine == pytest.approx(1)


@given(seeds, st.integers(2, 48), st.integers(0, COUNT - 1), st.floats(0, 0.2))
def test_one_turned_vector_is_enough(seed, dimensions, which, angle):
    known = unit_vectors(seed, dimensions)
    found = known.copy()
    across = np.roll(known[which], 1)
    across -= (across @ known[which]) * known[which]
    assume(np.linalg.norm(across) > 1e-3)
    found[which] = np.cos(angle) * known[which] + np.sin(angle) * across / np.linalg.norm(across)
    comparison = compare(known, found)
    assert comparison.lowest_cosine == pytest.approx(np.cos(angle), abs=1e-9)
    assert comparison.alike == (comparison.lowest_cosine >= 0.999)
    assert comparison.lowest_cosine <= comparison.mean_cosine <= 1


@given(seeds, st.integers(16, 48), st.permutations(range(COUNT)))
def test_another_order_is_told_from_another_model(seed, dimensions, order):
    known = unit_vectors(seed, dimensions)
    comparison = compare(known, known[list(order)])
    moved = list(order) != sorted(order)
    assert (comparison.alike, comparison.reordered) == (not moved, moved)
    another = compare(known, unit_vectors(seed + 1, dimensions))
    assert (another.alike, another.reordered) == (False, False)


def test_texts_that_share_a_vector_hide_no_other_order():
    """A model may know nothing of a script."""
    known = unit_vectors(1, 32)
    known[5] = known[7]
    assert compare(known, known[::-1]).reordered


# The calls


def test_a_refused_input_of_several_is_looked_for_by_halves():
    class Picky(HashProvider):
        def embed(self, texts):
            if CANARIES[5] in texts:
                raise InputRefused("no", reason="refused")
            return super().embed(texts)

    calls = CanaryCalls(Picky(EmbeddingSpace.create_new("hash", "hash", 8)), PreprocessPolicy(), 8)
    with pytest.raises(ProviderError, match="refuses a canary text"):
        calls.embed(range(COUNT))
    assert calls.requests == 7, "of 16, 8, 4, 4, 2, 1 and 1 texts"


def test_tokens_are_those_that_the_model_counts():
    """llama.cpp counts those of a request, a tokenizer of ours those of each text, and a hash none:
    those are estimated, since somebody may have a price for them."""

    class Counting(HashProvider):
        counts = (None, None)

        def embed(self, texts):
            each, together = self.counts
            reply = super().embed(texts)
            return replace(reply, input_tokens=[each] * len(texts), request_tokens=together)

    provider = Counting(EmbeddingSpace.create_new("hash", "hash", 8))
    estimated = sum(estimated_tokens(text) for text in CANARIES)
    for counts, tokens in (((None, None), estimated), ((None, 30), 30), ((4, None), 64), ((4, 30), 30)):
        provider.counts = counts
        calls = CanaryCalls(provider, PreprocessPolicy(), 8)
        calls.embed(range(COUNT))
        assert calls.tokens == tokens
