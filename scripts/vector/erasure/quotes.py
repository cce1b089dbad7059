"""What else quotes an erased text or id: searches, jobs and runs, which go or are blanked; and where it is found
besides, which only its owner can change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vector.contracts.ledgers import key_column
from vector.engines.base import TextColumn
from vector.erasure.places import JOBS, RUNS, SEARCHES, Place
from vector.erasure.probes import Probe, holds_a_probe, staged_probes
from vector.erasure.work import Work, batches

# Probes of a statement.
_PROBES = 200
_ENDED = " and looked_at.status in ('SUCCEEDED', 'DEADLETTER')"


def delete_searches(work: Work, probes: Sequence[Probe], chunks_of: str | None = None) -> None:
    """Deletes the searches whose question or filters quote it, each whole. In a dry run the hits of `chunks_of`, a
    source, are not counted again."""
    found = _keys(work, SEARCHES, probes)
    if chunks_of is None or not work.dry_run:
        work.delete_of("retrieval_hit", ("retrieval_id", "chunk_id"), "retrieval_id", found)
    work.delete_of("retrieval", ("retrieval_id",), "retrieval_id", found)


def delete_jobs(work: Work, texts: Sequence[Probe], names: Sequence[Probe] = ()) -> None:
    """Deletes the jobs whose input or error quotes it, with their runs. A job by whose runs there are vectors or
    searches of others is blanked, and so is a run of another job. An open job is a job of another source, if it has
    only the text: that is told by `elsewhere`."""
    jobs = sorted({*_keys(work, JOBS, names), *_keys(work, JOBS, texts, _ENDED)})
    blanked = _with_runs_that_are_needed(work, jobs)
    gone = [job for job in jobs if job not in blanked]
    work.delete_of("run", ("run_id",), "job_id", gone)
    work.delete_of("job", ("job_id",), "job_id", gone)
    work.blank("job", "job_id", sorted(blanked), {"input_json": "{}", "last_error": None})
    runs = _keys(work, RUNS, [*texts, *names])
    work.blank("run", "run_id", runs, {"options_json": None, "metrics_json": None, "error": None})


@dataclass(frozen=True)
class Others:
    """Which rows of a table are looked at: those `looked_at` for which a condition holds, with its parameters."""

    condition: str
    parameters: Sequence[Any] = ()


def elsewhere(
    work: Work, probes: Sequence[Probe], others: Mapping[str, Others | None], source_id: str | None = None
) -> dict[str, int]:
    """Where it is found in a column of text of any table: {table.column: rows}. `others` say of ledgers which rows are
    not about to go; None: the ledger is not looked at."""
    ours = {work.engine.table(name).lower(): rows for name, rows in others.items()}
    found: dict[str, int] = {}
    for column in work.engine.text_columns():
        looked_at = ours.get(column.table.lower(), Others(""))
        if column.name == "erasure" or looked_at is None or not _may_hold(column):
            continue
        rows = _rows_with(work, column, probes, looked_at, source_id)
        if rows:
            found[f"{column.name}.{column.column}"] = rows
    return found


def _may_hold(column: TextColumn) -> bool:
    """No digest, and no id but that of a source."""
    name = column.column.lower()
    return name == "source_id" or not name.endswith(("_sha256", "_id"))


def _rows_with(work: Work, column: TextColumn, probes: Sequence[Probe], others: Others, source_id: str | None) -> int:
    counted = f"select count(*) from {column.table} as looked_at where"
    if column.column.lower() == "source_id":
        if source_id is None:
            return 0
        sql = f"{counted} looked_at.{column.sql} = ?{others.condition}"
        return int(work.engine.query(sql, [source_id, *others.parameters])[0][0])
    total = 0
    for part in _parts(probes):
        with staged_probes(work.engine, part) as staged:
            holds = holds_a_probe(work.engine, staged, column.sql, _is_json(column.column))
            total += int(work.engine.query(f"{counted} {holds}{others.condition}", others.parameters)[0][0])
    return total


def _is_json(column: str) -> bool:
    return column.lower().endswith("_json")


def _keys(work: Work, place: Place, probes: Sequence[Probe], condition: str = "") -> list[str]:
    """Keys of the rows of a place that quote it."""
    found: set[str] = set()
    for part in _parts(probes):
        with staged_probes(work.engine, part) as staged:
            holds = " or ".join(
                holds_a_probe(work.engine, staged, column, column in place.json)
                for column in (*place.texts, *place.json)
            )
            rows = work.engine.query(
                f"select looked_at.{place.key} from {work.engine.table(place.table)} as looked_at"
                f" where ({holds}){condition}"
            )
        found.update(key for (key,) in rows)
    return sorted(found)


def _with_runs_that_are_needed(work: Work, jobs: Sequence[str]) -> set[str]:
    table = work.engine.table
    needed = " union ".join(
        f"select run_id from {table(name)} where run_id is not null"
        for name in ("embedding", "embedding_canary", "retrieval")
    )
    found: set[str] = set()
    for batch in batches(jobs):
        with work.engine.staged([key_column("job_id")], [(each,) for each in batch]) as staged:
            rows = work.engine.query(
                f"select distinct run.job_id from {table('run')} as run"
                f" inner join {staged} as staged on staged.job_id = run.job_id"
                f" inner join ({needed}) as needed on needed.run_id = run.run_id"
            )
        found.update(job for (job,) in rows)
    return found


def _parts(probes: Sequence[Probe]) -> list[Sequence[Probe]]:
    return [probes[start : start + _PROBES] for start in range(0, len(probes), _PROBES)]
