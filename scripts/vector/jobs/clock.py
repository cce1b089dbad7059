"""The database's time, which all workers share, whatever the clocks of their machines say."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from vector.engines.base import Engine

# Seconds for which an answer of the database is carried on by this process's own clock.
_FRESH = 30.0


class DatabaseClock:
    """Called, it gives the database's time as an aware UTC datetime, and asks for it twice a minute at most."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._asked = 0.0
        self._answer: datetime | None = None

    def __call__(self) -> datetime:
        """The time now."""
        since = time.monotonic() - self._asked
        if self._answer is None or since > _FRESH:
            self._answer = self._engine.utc_now().replace(tzinfo=timezone.utc)
            self._asked, since = time.monotonic(), 0.0
        return self._answer + timedelta(seconds=since)
