"""The claim of DuckDB. Its threads take turns (`queue_turn`), so what is read is still so when it is written; another
writer of the same rows would make it a conflict, which ends the transaction."""

from __future__ import annotations

from typing import Any

from vector.contracts.identity import new_id
from vector.engines.base import LARGEST_COUNT, NEXT_ATTEMPT, ClaimRequest


def due(job: str, request: ClaimRequest) -> tuple[str, list[Any]]:
    """The statement that reads the most urgent due jobs of the table `job`, and its parameters."""
    types = f" and job_type in ({', '.join('?' * len(request.job_types))})" if request.job_types else ""
    keys = " and starts_with(dedupe_key, ?)" if request.key_prefix else ""
    sql = (
        f"select {', '.join(request.columns)} from {job} where status in ('NEW', 'FAILED') and available_utc <= ?"
        f"{types}{keys} order by priority desc, available_utc, job_id limit ?"
    )
    return sql, [request.now, *request.job_types, *filter(None, [request.key_prefix]), request.count]


def taken(row: tuple, request: ClaimRequest) -> dict[str, Any]:
    """The row of a due job as it is under the lease."""
    job = dict(zip(request.columns, row, strict=True))
    return {
        **job,
        "status": "RUNNING",
        "attempt_count": job["attempt_count"] + (job["attempt_count"] < LARGEST_COUNT),
        "locked_by": request.worker_id,
        "locked_utc": request.now,
        "lease_expires_utc": request.lease_expires_utc,
        "locked_run_id": new_id(),
    }


def take(job: str, rows: list[dict[str, Any]], request: ClaimRequest) -> tuple[str, list[Any]]:
    """The statement that writes the leases, and its parameters.

    Not with RETURNING: that makes a delete and an insert of the update, which the runs of an earlier attempt forbid, as
    they refer to the job.
    """
    sql = (
        f"update {job} as job set status = 'RUNNING', attempt_count = {NEXT_ATTEMPT}, locked_by = ?,"
        " locked_utc = ?, lease_expires_utc = ?, locked_run_id = taken.run_id"
        f" from (values {', '.join(['(?, ?)'] * len(rows))}) as taken (job_id, run_id)"
        " where job.job_id = taken.job_id and job.status in ('NEW', 'FAILED')"
    )
    pairs = [value for row in rows for value in (row["job_id"], row["locked_run_id"])]
    return sql, [request.worker_id, request.now, request.lease_expires_utc, *pairs]
