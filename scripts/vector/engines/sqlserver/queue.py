"""The claim of SQL Server: one statement, right under READ COMMITTED, with and without READ_COMMITTED_SNAPSHOT (RCSI).

The candidates are read with update locks, and rows that another session has locked are skipped (READPAST), so two
workers never wait for each other, nor take the same job. Under RCSI a plain read would give an old version of a row;
update locks make it read the current one, and the UPDATE repeats the status all the same. READCOMMITTEDLOCK, which
changes nothing else, is what the documentation of READPAST asks for under RCSI.

One branch a status: each is a stretch of the index (status, priority desc, available_utc, job_id) in its order, so
that TOP stops after as many rows as it gives, and no more than those are locked. One branch over both would sort, and
so lock, every due job.
"""

from __future__ import annotations

from typing import Any

from vector.engines.base import NEXT_ATTEMPT, ClaimRequest

_LOCKS = "with (rowlock, updlock, readpast, readcommittedlock)"


def claim(job: str, request: ClaimRequest) -> tuple[str, list[Any]]:
    """The statement that claims jobs of the table `job`, and its parameters."""
    types = f" and job.job_type in ({', '.join('?' * len(request.job_types))})" if request.job_types else ""
    keys = " and left(job.dedupe_key, cast(? as int)) = cast(? as nvarchar(200))" if request.key_prefix else ""
    branches = " union all ".join(
        f"select {alias}.job_id, {alias}.priority, {alias}.available_utc from ("
        "select top (cast(? as int)) job.job_id, job.priority, job.available_utc"
        f" from {job} as job {_LOCKS}"
        f" where job.status = '{status}' and job.available_utc <= cast(? as datetime2(6)){types}{keys}"
        f" order by job.priority desc, job.available_utc, job.job_id) as {alias}"
        for status, alias in (("NEW", "waiting"), ("FAILED", "failed"))
    )
    sql = (
        "with due as (select top (cast(? as int)) candidate.job_id"
        f" from ({branches}) as candidate"
        " order by candidate.priority desc, candidate.available_utc, candidate.job_id)"
        f" update top (cast(? as int)) job set status = 'RUNNING', attempt_count = {NEXT_ATTEMPT},"
        " locked_by = cast(? as nvarchar(200)), locked_utc = cast(? as datetime2(6)),"
        " lease_expires_utc = cast(? as datetime2(6)),"
        # NEWID is evaluated for every row.
        " locked_run_id = lower(cast(newid() as varchar(36)))"
        f" output {', '.join(f'inserted.{column}' for column in request.columns)}"
        f" from {job} as job {_LOCKS} inner join due on due.job_id = job.job_id"
        " where job.status in ('NEW', 'FAILED')"
    )
    prefix = [len(request.key_prefix), request.key_prefix] if request.key_prefix else []
    branch = [request.count, request.now, *request.job_types, *prefix]
    taken = [request.count, request.worker_id, request.now, request.lease_expires_utc]
    return sql, [request.count, *branch, *branch, *taken]
