"""Batches of texts: cut by count and by tokens, of a size that follows what the server does best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import TypeVar

Item = TypeVar("Item")

# A larger batch must bring a tenth more bytes a second, and a call should not take longer than so many seconds: a
# signal waits for it, and a timeout would lose it.
WORTHWHILE = 1.1
LONG_CALL = 10.0
# Calls of a size that are measured before it is judged.
MEASURED_CALLS = 3


def batches_of(
    items: Iterable[Item], tokens_of: Callable[[Item], int], max_items: int, max_tokens: int | None
) -> Iterator[list[Item]]:
    """The items in order, in batches of at most `max_items`, and of at most `max_tokens` unless an item alone has
    more."""
    batches = Batches(items, tokens_of)
    while batch := batches.next(max_items, max_tokens):
        yield batch


def even_size(items: int, most: int, at_a_time: int) -> int:
    """The size of batches, `most` at the most, with which so many workers end together: as many rounds of batches as
    with the largest ones, and in each a batch for every worker."""
    if at_a_time == 1 or not items:
        return most
    rounds = -(-items // (most * at_a_time))
    return -(-items // (rounds * at_a_time))


class Batches:
    """Items in order, taken in batches whose limits may be others each time."""

    def __init__(self, items: Iterable[Item], tokens_of: Callable[[Item], int]) -> None:
        self._items, self._tokens_of = iter(items), tokens_of
        self._waiting: Item | None = None

    def next(self, max_items: int, max_tokens: int | None) -> list[Item]:
        """The next batch: at most `max_items`, and at most `max_tokens` unless an item alone has more. Empty at the
        end."""
        batch: list[Item] = []
        tokens = 0
        while len(batch) < max_items:
            item = next(self._items, None) if self._waiting is None else self._waiting
            if item is None:
                break
            tokens += self._tokens_of(item)
            if batch and max_tokens is not None and tokens > max_tokens:
                self._waiting = item
                break
            self._waiting = None
            batch.append(item)
        return batch


class BatchSizer:
    """How many texts to send together. It starts with `first`, is doubled up to `largest` while that brings more bytes
    a second, then stays; it is halved when the server cannot cope with a batch. With `largest` = `first` it never
    grows."""

    def __init__(self, first: int, largest: int) -> None:
        self.size = first
        self._largest = max(first, largest)
        self._best_rate = 0.0
        self._best_size = first
        self._rates: list[float] = []
        self._settled = self._largest == first

    def answered(self, texts: int, size_bytes: int, seconds: float) -> None:
        """A batch of so many texts and bytes took so long."""
        if self._settled or texts != self.size:
            return
        self._rates.append(size_bytes / max(seconds, 1e-6))
        if len(self._rates) < MEASURED_CALLS:
            return
        rate = median(self._rates)
        self._rates = []
        if rate < WORTHWHILE * self._best_rate:
            self.size, self._settled = self._best_size, True
            return
        self._best_rate, self._best_size = rate, self.size
        doubled = min(2 * self.size, self._largest)
        if doubled == self.size or 2 * seconds > LONG_CALL:
            self._settled = True
        else:
            self.size = doubled

    def overwhelmed(self, texts: int) -> None:
        """The server could not cope with a batch of so many texts: it was too large, or took too long."""
        if texts > 1 and texts <= self.size:
            self.size = max(1, texts // 2)
            self._settled = True
