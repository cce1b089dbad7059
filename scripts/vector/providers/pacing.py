"""When a request may be sent again: the limits of a model server's client, the waits, and the counters of both."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from email.utils import parsedate_to_datetime
from typing import Any

from vector.errors import ConfigurationError, ProviderError


@dataclass(frozen=True)
class HttpPolicy:
    """How long to wait for a model server and how often to try; all times in seconds.

    `tries` is for failures that the request itself may have caused (HTTP 500, a lost connection, no answer in time),
    `patient_tries` for those that it did not (rate limits, HTTP 503, nobody listening). `read` is the longest silence,
    `total` the longest a whole request may take, however busily its answer drips. A server that asks for a longer wait
    than `max_told` ends the run. After `breaker` failures in a row, of all requests together, nothing is tried again.
    """

    connect: float = 10.0
    read: float = 120.0
    total: float = 300.0
    tries: int = 3
    patient_tries: int = 8
    first_backoff: float = 0.5
    max_backoff: float = 30.0
    max_told: float = 600.0
    breaker: int = 12

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> HttpPolicy:
        """The defaults, or what VECTOR_HTTP_CONNECT, VECTOR_HTTP_READ, VECTOR_HTTP_TOTAL, VECTOR_HTTP_TRIES and so on
        say. Raises ConfigurationError on a value that is not a positive number."""
        given: dict[str, Any] = {}
        for field in fields(cls):
            variable = f"VECTOR_HTTP_{field.name.upper()}"
            if text := environ.get(variable):
                kind: Callable[[str], Any] = type(field.default)
                try:
                    given[field.name] = kind(text)
                except ValueError:
                    given[field.name] = 0
                if not 0 < given[field.name] < math.inf:
                    wanted = "a whole number of at least 1" if kind is int else "a number of seconds above 0"
                    raise ConfigurationError(f"{variable} is {text!r}, it must be {wanted}")
        return cls(**given)

    def backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures: doubled each time up to the cap, then cut at random by up to half,
        so that several clients do not come back together."""
        return min(self.max_backoff, self.first_backoff * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)


def told_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a reply asks to wait: `retry-after-ms`, else `Retry-After` in seconds or as an HTTP date
    (RFC 9110, 10.2.3); None when it says nothing that makes sense. `now` is a Unix time, used where the reply has no
    `Date`: the server's clock need not agree with ours."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = (headers.get(name) or "").strip()
        try:
            seconds = float(text) / scale
        except ValueError:
            if scale == 1.0 and (until := _unix_time(text)) is not None:
                sent = _unix_time(headers.get("date") or "")
                return max(0.0, until - (now if sent is None else sent))
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _unix_time(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class HttpCounts:
    """What talking to a server took. `requests` were sent, `retries` of them again, `rate_limited` were turned away.
    Bytes are those of bodies, after decompression. `seconds_waiting` adds up the pauses of all threads.

    `unusable_requests`, with so many texts and tokens, were or may have been paid for without a vector to show: the
    reply could not be used, or did not come in time. Tokens are estimated where the server did not count them."""

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds_waiting: float = 0.0
    unusable_requests: int = 0
    unusable_texts: int = 0
    unusable_tokens: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON; seconds rounded to milliseconds."""
        return {**asdict(self), "seconds_waiting": round(self.seconds_waiting, 3)}


class Counters:
    """HttpCounts that several threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = HttpCounts()

    def add(self, **amounts: float) -> None:
        """Adds to the fields named."""
        with self._lock:
            counts = asdict(self._counts)
            self._counts = HttpCounts(**{**counts, **{name: counts[name] + more for name, more in amounts.items()}})

    def read(self) -> HttpCounts:
        """The counts so far."""
        return self._counts


class Clock:
    """The time, and waiting; a test brings its own."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def time(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def wait(self, stopped: threading.Event, seconds: float) -> None:
        """Waits so many seconds, or until `stopped` is set."""
        stopped.wait(seconds)


class Limiter:
    """What all requests of a provider share: one pause that stops every thread, and the count of failures in a row."""

    def __init__(self, policy: HttpPolicy, clock: Clock, counters: Counters) -> None:
        self._policy, self._clock, self._counters = policy, clock, counters
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._paused_until = -math.inf
        self._in_a_row = 0
        self._last_counted = -math.inf

    def wait_for_turn(self) -> None:
        """Returns when no pause is on. Raises ProviderError when the provider was closed."""
        while (seconds := self._paused_until - self._clock.monotonic()) > 0:
            self.sleep(seconds)
        self._refuse_if_stopped()

    def pause(self, seconds: float) -> None:
        """Stops every thread's next request for so many seconds from now; a longer pause that is on stays."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Waits in this thread alone. Raises ProviderError as soon as the provider is closed."""
        self._refuse_if_stopped()
        started = self._clock.monotonic()
        self._clock.wait(self._stopped, seconds)
        self._counters.add(seconds_waiting=self._clock.monotonic() - started)
        self._refuse_if_stopped()

    def succeeded(self) -> None:
        """The server gave a usable answer."""
        self._in_a_row = 0

    def failed(self, sent: float) -> bool:
        """The server did not, to a request sent at that monotonic time; whether it has failed too often in a row.

        Requests that were under way together fail together and count once: eight threads are not eight times as
        impatient as one.
        """
        with self._lock:
            if sent >= self._last_counted:
                self._in_a_row += 1
                self._last_counted = self._clock.monotonic()
            return self._in_a_row >= self._policy.breaker

    def stop(self) -> None:
        """Ends every wait, now and from now on."""
        self._stopped.set()

    def _refuse_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise ProviderError("the provider was closed before its request was sent")
