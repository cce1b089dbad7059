"""Properties of batches, of their size, and of what a run counts and when it tries again."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector.embedding.batching import LONG_CALL, MEASURED_CALLS, Batches, BatchSizer, batches_of, even_size
from vector.embedding.writer import FIRST_RETRY, LAST_RETRY, retry_delay, token_columns
from vector.providers.base import EmbeddingReply, estimated_tokens_of

# Items are their own tokens.
sizes = st.lists(st.integers(1, 50), max_size=60)
limits = st.tuples(st.integers(1, 10), st.none() | st.integers(1, 100))


def same(item):
    return item


@given(sizes, limits)
def test_batches_keep_order_and_limits_and_are_as_full_as_they_may(items, limit):
    most_items, most_tokens = limit
    batches = list(batches_of(items, same, most_items, most_tokens))
    assert [item for batch in batches for item in batch] == items
    for number, batch in enumerate(batches):
        assert 1 <= len(batch) <= most_items
        assert most_tokens is None or sum(batch) <= most_tokens or len(batch) == 1
        if number + 1 < len(batches) and len(batch) < most_items:
            assert most_tokens is not None
            assert sum(batch) + batches[number + 1][0] > most_tokens


@given(sizes, st.lists(limits, min_size=1))
def test_limits_may_be_others_each_time(items, each):
    batches, found = Batches(iter(items), same), []
    while batch := batches.next(*(limit := each[len(found) % len(each)])):
        assert len(batch) <= limit[0]
        assert limit[1] is None or sum(batch) <= limit[1] or len(batch) == 1
        found.append(batch)
    assert [item for batch in found for item in batch] == items
    assert batches.next(10, None) == [], "it has ended for good"


@given(sizes, limits)
def test_batches_read_one_item_ahead_at_most(items, limit):
    read = []
    batches = Batches((read.append(item) or item for item in items), same)
    taken = 0
    while batch := batches.next(*limit):
        taken += len(batch)
        assert len(read) <= taken + 1


@given(st.integers(0, 5000), st.integers(1, 300), st.integers(1, 16))
def test_even_batches_keep_all_threads_busy_to_the_end(items, most, at_a_time):
    size = even_size(items, most, at_a_time)
    assert 1 <= size <= most
    calls = -(-items // size)
    rounds = -(-calls // at_a_time)
    assert rounds <= -(-items // (most * at_a_time)), "no more rounds than with the largest batches"
    if at_a_time == 1:
        assert size == most, "nothing to even out"
    else:
        # A thread that has a batch in every round has about its share of the items: one a round more at most.
        assert rounds * size <= items / at_a_time + rounds or items == 0


def test_a_hundred_texts_for_two_threads():
    assert even_size(100, 32, 2) == 25


# The size


answers = st.tuples(st.just("answered"), st.floats(0, 20, allow_nan=False), st.integers(1, 10**6))
overwhelmed = st.tuples(st.just("overwhelmed"), st.integers(0, 5), st.just(0))
few_or_many = st.integers(1, 3000)


def tell(sizer, events):
    """Tells what became of batches of the sizer's size, or a little less; its sizes, the first one first."""
    seen = [sizer.size]
    for what, number, size_bytes in events:
        if what == "answered":
            sizer.answered(sizer.size, size_bytes, number)
        else:
            sizer.overwhelmed(max(1, sizer.size - number))
        seen.append(sizer.size)
    return seen


@given(few_or_many, few_or_many, st.lists(answers | overwhelmed, max_size=80))
def test_a_size_stays_within_its_limits_and_settles(first, largest, events):
    sizer = BatchSizer(first, largest)
    seen = tell(sizer, events)
    assert all(1 <= size <= max(first, largest) for size in seen)
    for before, after in zip(seen, seen[1:], strict=False):
        assert after <= 2 * before
    # Once it was made smaller it does not grow again.
    falls = [number for number in range(1, len(seen)) if seen[number] < seen[number - 1]]
    if falls:
        rest = seen[falls[0] :]
        assert rest == sorted(rest, reverse=True)


@given(few_or_many, st.integers(0, 3000), st.lists(answers | overwhelmed, max_size=40))
def test_a_size_that_was_asked_for_never_grows(first, less, events):
    assert max(tell(BatchSizer(first, max(1, first - less)), events)) == first


@given(st.integers(1, 64), few_or_many, st.integers(1, 3000), st.integers(1, 200))
def test_it_finds_the_size_that_a_server_does_best(first, largest, best, milliseconds):
    """The server takes as long for any batch up to `best` texts, and as long for each text beyond: more than double
    that is no use. A size that is used is at most one doubling from the best one that it may have."""
    sizer = BatchSizer(first, largest)

    def seconds(size):
        return milliseconds / 1000 * max(1.0, size / best)

    asked = 0
    while not sizer._settled:
        sizer.answered(sizer.size, 100 * sizer.size, seconds(sizer.size))
        asked += 1
        assert asked <= MEASURED_CALLS * 14, "2^12 texts are as many as there may be"
    reachable = max(first, min(best, max(first, largest)))
    assert reachable / 2 < sizer.size <= max(first, 2 * best)
    settled = sizer.size
    tell(sizer, [("answered", 0.001, 10**9)] * 10)
    assert sizer.size == settled


def test_it_does_not_grow_where_calls_would_take_too_long():
    sizer = BatchSizer(8, 512)
    for _ in range(MEASURED_CALLS):
        sizer.answered(8, 800, 0.6 * LONG_CALL)
    for _ in range(MEASURED_CALLS):
        sizer.answered(8, 800, 0.001)
    assert sizer.size == 8


def test_batches_of_another_size_are_not_measured():
    sizer = BatchSizer(8, 512)
    for _ in range(10):
        sizer.answered(5, 500, 0.001)  # the last of a run, the half of another
    assert sizer.size == 8
    for _ in range(MEASURED_CALLS):
        sizer.answered(8, 800, 0.1)
    assert sizer.size == 16


@given(few_or_many, few_or_many, st.data())
def test_a_server_that_cannot_cope_halves_the_size(first, largest, data):
    sizer = BatchSizer(first, largest)
    texts = data.draw(st.integers(1, sizer.size))
    before = sizer.size
    sizer.overwhelmed(texts)
    assert sizer.size == (max(1, texts // 2) if texts > 1 else before)
    if texts > 1:
        smaller = sizer.size
        sizer.overwhelmed(texts)  # another that was under way
        assert sizer.size == smaller
        tell(sizer, [("answered", 0.001, 10**6)] * 10)
        assert sizer.size == smaller


# Tokens


counts = st.none() | st.integers(0, 1000)


@given(st.lists(st.tuples(st.integers(0, 4000), counts, counts), max_size=20), counts)
def test_token_columns(texts, request_tokens):
    size_bytes = [size for size, *_ in texts]
    given_tokens, used_tokens = [given for _, given, _ in texts], [used for *_, used in texts]
    vectors = np.ones((len(texts), 2), dtype=np.float32)
    rows = token_columns(EmbeddingReply(vectors, given_tokens, used_tokens, request_tokens), size_bytes)
    assert len(rows) == len(texts)
    total = sum(size_bytes)
    for (size, tokens_given, tokens_used), (input_tokens, used, truncated, estimated) in zip(texts, rows, strict=True):
        assert estimated is (tokens_given is None)
        assert input_tokens >= 0
        if tokens_given is not None:
            assert (input_tokens, used) == (tokens_given, tokens_used)
            assert truncated is (None if tokens_used is None else tokens_used < tokens_given)
        elif request_tokens is None or not total:
            assert (input_tokens, used, truncated) == (estimated_tokens_of(size), None, None)
        else:
            assert used == input_tokens
            assert truncated is None
            assert abs(input_tokens - max(1, request_tokens * size / total)) <= 0.5


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=50), st.integers(1, 10**6))
def test_shares_of_the_requests_tokens_add_up_to_them(size_bytes, request_tokens):
    unknown = [None] * len(size_bytes)
    reply = EmbeddingReply(np.ones((len(size_bytes), 2), dtype=np.float32), unknown, unknown, request_tokens)
    total = sum(row[0] for row in token_columns(reply, size_bytes))
    assert abs(total - request_tokens) <= len(size_bytes)


# When it is tried again


@given(st.integers(1, 10**6))
def test_a_failure_rests_longer_each_time_up_to_a_week(attempts):
    delay = retry_delay(attempts)
    assert FIRST_RETRY <= delay <= LAST_RETRY
    assert delay <= retry_delay(attempts + 1) <= 2 * delay


@pytest.mark.parametrize(("attempts", "hours"), [(1, 1), (2, 2), (3, 4), (8, 128), (9, 168), (50, 168)])
def test_hours_of_rest(attempts, hours):
    assert retry_delay(attempts) == timedelta(hours=hours)
