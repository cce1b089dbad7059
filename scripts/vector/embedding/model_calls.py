"""The calls of a model that are under way: several at a time, in threads of their own, back in any order."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from vector.embedding.pending import PendingText
from vector.providers.base import EmbeddingProvider, EmbeddingReply, PreprocessPolicy, check_reply


class ModelCalls:
    """Calls of a provider with batches of texts, so many at a time. A call is kept here until it is forgotten.

    The result of a call is the reply, checked, and the seconds that it took; its exception what the provider raised,
    or ProviderError for a reply that is none.
    """

    def __init__(self, provider: EmbeddingProvider, dimensions: int, policy: PreprocessPolicy, concurrency: int):
        self._provider, self._dimensions, self._policy = provider, dimensions, policy
        self._concurrency = concurrency
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="embed")
        self._batches: dict[Future, list[PendingText]] = {}
        self._busy = _BusyTime()

    @property
    def seconds_busy(self) -> float:
        """Wall time in which at least one call was under way, so far."""
        return self._busy.seconds

    @property
    def wants_more(self) -> bool:
        """Whether another batch should be begun: one waits for the threads, so that none of them waits for one."""
        return len(self._batches) <= self._concurrency

    def __len__(self) -> int:
        return len(self._batches)

    def texts(self) -> list[PendingText]:
        """Those of all calls that are not forgotten. Any thread may ask."""
        return [text for texts in list(self._batches.values()) for text in texts]

    def batch(self, call: Future) -> list[PendingText]:
        """The texts of a call."""
        return self._batches[call]

    def begin(self, texts: list[PendingText]) -> None:
        """Calls the model with the texts, as soon as a thread is free."""
        self._batches[self._pool.submit(self._call, texts)] = texts

    def forget(self, call: Future) -> None:
        """Drops a call whose result was stored or given up."""
        del self._batches[call]

    def finished_within(self, seconds: float) -> set[Future]:
        """The calls that have ended, after a wait of so many seconds at most for the first one."""
        return wait(self._batches, timeout=seconds, return_when=FIRST_COMPLETED).done

    def wind_up(self) -> tuple[list[Future], list[Future]]:
        """Cancels the calls that no thread has begun, and waits for the others, unless a signal ends the wait. Gives
        the calls that have ended, and those that have not."""
        self._batches = {call: texts for call, texts in self._batches.items() if not call.cancel()}
        with suppress(BaseException):  # of a signal; the error that ends the run is known already
            while wait(self._batches, timeout=0.5).not_done:
                pass  # in slices: on Windows no signal interrupts a wait
        ended = [call for call in self._batches if call.done()]
        return ended, [call for call in self._batches if call not in ended]

    def left(self) -> list[tuple[list[PendingText], Future]]:
        """The calls that are not forgotten, with their texts."""
        return [(texts, call) for call, texts in self._batches.items()]

    def close(self) -> None:
        """Lets the threads end; does not wait for them."""
        self._pool.shutdown(wait=False)

    def _call(self, texts: list[PendingText]) -> tuple[EmbeddingReply, float]:
        started = time.perf_counter()
        with self._busy:
            reply = self._provider.embed([self._policy.document_input(text.content) for text in texts])
        check_reply(reply, len(texts), self._dimensions)
        return reply, time.perf_counter() - started


class _BusyTime:
    """Wall time in which at least one thread was inside; `seconds` so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._inside, self._since = 0, 0.0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._since = time.perf_counter()
            self._inside += 1

    def __exit__(self, *error: Any) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self.seconds += time.perf_counter() - self._since
