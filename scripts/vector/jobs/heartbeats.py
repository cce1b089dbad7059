"""The thread that keeps a worker's leases alive while their jobs run, however long a handler is silent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from vector.jobs.performing import ActiveJob
from vector.jobs.queue import JobQueue

logger = logging.getLogger(__name__)

# Heartbeats in the time of a lease: one may be late and another fail.
_PER_LEASE = 3


class Heartbeats:
    """Extends the leases of the active jobs, over a queue of its own. `last` is when it last did, by time.time."""

    def __init__(self, queue: JobQueue, active: Callable[[], Iterable[ActiveJob]]):
        self._queue, self._active = queue, active
        self._lease_seconds = queue.lease.total_seconds()
        self._stopped = threading.Event()
        self.last = time.time()
        self._thread = threading.Thread(target=self._beat, name="heartbeats", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and closes its store."""
        self._stopped.set()
        self._thread.join()
        self._queue.store.close()

    def _beat(self) -> None:
        while not self._stopped.wait(self._lease_seconds / _PER_LEASE):
            self._extend(list(self._active()))
            self.last = time.time()

    def _extend(self, active: list[ActiveJob]) -> None:
        now, held = time.monotonic(), None
        try:
            held = self._queue.heartbeat_all([each.claimed for each in active])
        except Exception as error:
            logger.warning("heartbeat: %s: %s", type(error).__name__, error)
        for each in active:
            if held is not None and each.claimed.run.run_id in held:
                each.extended = now
            elif (held is not None or now - each.extended > self._lease_seconds) and each.outcome is None:
                each.lost.set()
