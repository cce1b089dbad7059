"""Batches of texts: cut by count and by tokens, of a size that follows what the server does best."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

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


@dataclass
class _Cut:
    left: int  # halves that were not answered yet; 0 for good once one of them is refused
    size: int
    sure: bool


class Halves(Generic[Item]):
    """Batches that were refused, cut in two until what is refused is alone. They are taken before others.

    A batch whose halves were both answered was too large, whatever the server said of it. `answered` says so; where the
    server spoke of something else, when it has happened twice, since once may be a passing fault.
    """

    def __init__(self) -> None:
        self._waiting: deque[list[Item]] = deque()
        # What a half was cut from, by the half's identity; the half is kept, so that the identity stays its own.
        self._of: dict[int, tuple[list[Item], _Cut]] = {}
        self._signs = 0

    def cut(self, batch: list[Item], sure: bool = False, last: bool = False) -> None:
        """Takes a refused batch of at least two items. `sure`: the server said that it is too large. `last`: its halves
        come after the others that wait, and are no sign of a size."""
        middle = len(batch) // 2
        halves = [batch[:middle], batch[middle:]]
        if last:
            self._waiting.extendleft(halves)
            return
        cut = _Cut(len(halves), len(batch) - middle, sure)
        self._waiting.extend(halves)
        self._of |= {id(half): (half, cut) for half in halves}

    def next(self, limit: int | None) -> list[Item]:
        """The next batch, of at most so many items; empty when none waits."""
        if not self._waiting:
            return []
        batch = self._waiting.pop()
        if limit is not None and len(batch) > limit:
            self.refused(batch)
            self._waiting.append(batch[limit:])
            return batch[:limit]
        return batch

    def refused(self, batch: list[Item]) -> None:
        """Notes that the batch was refused. So it says nothing about whether the batch it was cut from was too
        large."""
        if found := self._of.pop(id(batch), None):
            found[1].left = 0

    def answered(self, batch: list[Item]) -> int | None:
        """Notes that the batch was answered. Gives how many items the server takes, once that is known."""
        found = self._of.pop(id(batch), None)
        if not found or not found[1].left:
            return None
        cut = found[1]
        cut.left -= 1
        if cut.left:
            return None
        self._signs += 1
        return cut.size if cut.sure or self._signs > 1 else None


class BatchSizer:
    """How many texts to send together. It starts with `first`, is doubled up to `largest` while that brings more bytes
    a second, then stays; it is halved when the server cannot cope with a batch. With `largest` = `first` it never
    grows.

    `limit` is the most texts that the server takes in a request, where it is known: told, or learnt from a batch that
    was refused while both its halves were not.
    """

    def __init__(self, first: int, largest: int, limit: int | None = None) -> None:
        self.limit: int | None = None
        self.size = first
        self._largest = max(first, largest)
        self._best_rate = 0.0
        self._best_size = first
        self._rates: list[float] = []
        self._settled = self._largest == first
        if limit is not None:
            self.limited(limit)

    def limited(self, limit: int) -> None:
        """Notes that the server takes no more than so many texts a request."""
        self.limit = min(limit, self.limit or limit)
        self._largest = min(self._largest, self.limit)
        self.size, self._best_size = min(self.size, self.limit), min(self._best_size, self.limit)
        self._settled |= self.size == self._largest

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
