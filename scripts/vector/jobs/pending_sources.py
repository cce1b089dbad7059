"""CHUNK_SOURCE of many: a job for each source that the view `source_pending` has, with a dedupe key of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from vector.contracts.identity import compute_content_hash
from vector.contracts.models import JobType
from vector.jobs.queue import JobQueue, JobRequest
from vector.store import VectorStore
from vector.wording import counted

# How the dedupe keys of these jobs begin; the macro `enqueue_sources` has it too.
KEY_PREFIX = "extract:"
# Jobs of one transaction.
BATCH_JOBS = 10_000


@dataclass(frozen=True)
class Queued:
    """`pending` sources, of which `open` have an open job already; `queued`: those that got one, or would, by source
    type."""

    pending: int
    open: int
    queued: int
    by_source_type: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def queued_text(done: Queued, dry_run: bool = False) -> str:
    """`queued 3 jobs: 2 page, 1 mail; 4 more are queued already`."""
    types = ", ".join(f"{count:,} {name}" for name, count in done.by_source_type.items())
    told = f"{'would queue' if dry_run else 'queued'} {counted(done.queued, 'job')}{f': {types}' if types else ''}"
    return f"{told}; {done.open:,} open already" if done.open else told


def dedupe_key(source_id: str) -> str:
    """The key of the job of a source: a hash, as an id may be longer than a key."""
    return KEY_PREFIX + compute_content_hash(source_id)


def job_input(source_id: str) -> dict[str, Any]:
    """The input of the job of a source."""
    return {"source_id": source_id, "from": {"source_id": source_id}}


def extracts(store: VectorStore) -> bool:
    """Whether an active chunk policy is of method `extract`."""
    # Python takes the flag as it comes: the engines word a test of it in ways of their own.
    rows = store.engine.query(
        f"select is_active from {store.engine.table('chunk_policy_input')} where method = 'extract'"
    )
    return any(is_active for (is_active,) in rows)


def enqueue_pending(
    queue: JobQueue,
    *,
    source_type: str | None = None,
    limit: int | None = None,
    priority: int = 100,
    max_attempts: int = 3,
    dry_run: bool = False,
) -> Queued:
    """Queues a job for each pending source, of a type if one is given, that has no open job; at most `limit`. Batches
    are transactions of their own: what was queued before an error stays. Raises ConfigurationError where
    `source_pending` is not built."""
    pending = _pending(queue.store, source_type)
    keys = {source_id: dedupe_key(source_id) for source_id, _ in pending}
    open_keys = _open_keys(queue.store)
    waiting = [(source_id, of_type) for source_id, of_type in pending if keys[source_id] not in open_keys]
    wanted = waiting[:limit]
    if not dry_run:
        for start in range(0, len(wanted), BATCH_JOBS):
            queue.enqueue_many(
                JobRequest(
                    JobType.CHUNK_SOURCE,
                    job_input(source_id),
                    priority=priority,
                    max_attempts=max_attempts,
                    dedupe_key=keys[source_id],
                )
                for source_id, _ in wanted[start : start + BATCH_JOBS]
            )
    by_type = Counter(of_type for _, of_type in wanted)
    return Queued(len(pending), len(pending) - len(waiting), len(wanted), dict(sorted(by_type.items())))


def _pending(store: VectorStore, source_type: str | None) -> list[tuple[str, str]]:
    store.require_built("source_pending")
    of_type, parameters = (" where source_type = ?", [source_type]) if source_type else ("", [])
    table = store.engine.table("source_pending")
    return store.engine.query(f"select source_id, source_type from {table}{of_type} order by source_id", parameters)


def _open_keys(store: VectorStore) -> set[str]:
    rows = store.engine.query(
        f"select dedupe_key from {store.engine.table('job')} where dedupe_key like ?"
        " and status in ('NEW', 'RUNNING', 'FAILED')",
        [f"{KEY_PREFIX}%"],
    )
    return {key for (key,) in rows}
