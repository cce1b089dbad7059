"""What a handler of several steps does between two of them."""

from __future__ import annotations

from typing import Any


def keep_going(context: Any, done: str) -> None:
    """Extends the lease. Raises JobStopped, which says what is done, when the worker must end or has lost the lease."""
    context.heartbeat()
    if context.should_stop():
        # Not imported by name: the package's own module imports the handlers.
        from vector import jobs

        raise jobs.JobStopped(f"stopped after {done}")
