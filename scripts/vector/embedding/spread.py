"""Embedding by the executors of an engine that has some. The driver plans, checks the model, and merges; executors call
the model, and what it answers lands in files (landing.py) that are merged wave by wave.

Nothing is locked and no two tables are written as one, so the order is the protocol: a job's row claims the space, of
which one of two drivers gets one in; its heartbeat keeps it; what a dead run has landed is merged by the next one
before that plans; and a merge adds only what the ledger does not have.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from vector import errors
from vector.contracts.ledgers import EMBEDDING, EMBEDDING_FAILURE, JOB
from vector.contracts.models import EmbeddingSpace, JobStatus, JobType, VectorJob, VectorRun
from vector.embedding.executors import REPORT, EmbedTask
from vector.embedding.landing import COLUMNS, EMBEDDING_COLUMNS, LEASE, Heartbeat, Landing
from vector.embedding.options import EmbedOptions
from vector.embedding.pending import PLAN
from vector.embedding.plan import EmbedPlan, cost_of, plan_space
from vector.embedding.sending import Sending
from vector.embedding.throughput import earlier_runs
from vector.embedding.writer import AnswerWriter, EmbedSummary, failure_of, recorded
from vector.engines.base import TaskEngine, with_tasks
from vector.errors import InputRefused, ProviderError, SpaceBusy
from vector.providers import open_provider
from vector.providers.base import estimated_tokens_of
from vector.store import VectorStore, ledger_io
from vector.store.runs import close_abandoned, recorded_run, running_elsewhere

logger = logging.getLogger(__name__)

# Texts a wave, unless there were more waves than these: each merge reads the keys of the space once.
WAVE = 50_000
MOST_WAVES = 50
# Tasks for each that is worked at together, so that none ends long after the others; and the most texts that one has.
TASKS_PER_SLOT = 4
TASK_TEXTS = 5_000
# How often the money that tasks have left is given out again.
PASSES = 3
# A job of a host that cannot be looked at counts as gone after a day: said again every hour.
_SAY_AGAIN = timedelta(hours=1)
# Of a task's summary, what adds up.
_ADDED = (
    "reused", "reused_tokens", "quarantined", "texts", "requests", "input_bytes", "input_tokens", "truncated",
    "unusable_texts", "unusable_requests", "unusable_tokens", "seconds_in_model",
)  # fmt: skip


def embed_in_tasks(
    store: VectorStore,
    space: EmbeddingSpace,
    options: EmbedOptions,
    on_progress: Callable[[EmbedSummary], None] = lambda summary: None,
) -> EmbedSummary:
    """As embed_space, which calls it. Raises as that does."""
    engine = with_tasks(store.engine)
    assert engine is not None
    of_space = Landing(f"{engine.landing_folder()}/{space.embedding_space_id}")
    with _Claim(store, engine, space, of_space) as claim:
        job_input = {"space_key": space.space_key, "limit": options.limit}
        kind = JobType.EMBED_CHUNKS
        with recorded_run(store, kind, job_input, space.embedding_space_id, claim.begin) as run:
            summary = EmbedSummary(space.space_key or "", run_id=run.run_id, cost=cost_of(space, 0))
            with recorded(summary, run):
                _Spread(store, engine, space, options, summary, on_progress, claim, run).go()
    return summary


class _Claim:
    """That this run alone embeds into a space: by the one open row in the ledger `job`, and a heartbeat."""

    def __init__(self, store: VectorStore, engine: TaskEngine, space: EmbeddingSpace, of_space: Landing) -> None:
        self.store, self.engine, self.space, self.of_space = store, engine, space, of_space
        self.landing: Landing | None = None
        self.job: VectorJob | None = None
        self._heartbeat: Heartbeat | None = None

    def __enter__(self) -> _Claim:
        return self

    def begin(self, job: VectorJob) -> None:
        """Saves the job, if no other open one has the space. Raises SpaceBusy otherwise."""
        self.landing, self.job = self.of_space.of(job.job_id), job
        self._heartbeat = Heartbeat(self.landing)  # before the row: whose owner is silent counts as dead
        self._close_dead()
        row = JOB.to_row(job)
        with self.engine.staged(JOB.columns, [row]) as staged:
            taken = self.engine.insert_unless(
                JOB.table, staged, JOB.column_names,
                "ledger.embedding_space_id = staged.embedding_space_id and ledger.job_type = staged.job_type"
                " and ledger.status = 'RUNNING'",
            )  # fmt: skip
        if not taken:
            raise SpaceBusy(
                f"space {self.space.space_key} is being embedded into by {running_elsewhere(self.store, self.space)};"
                " wait for it, or stop it"
            )

    def _close_dead(self) -> None:
        for job in self.store.list_jobs(JobStatus.RUNNING, JobType.EMBED_CHUNKS):
            if job.embedding_space_id == self.space.embedding_space_id and self._is_silent(job.job_id):
                close_abandoned(self.store, job)

    def _is_silent(self, job_id: str) -> bool:
        assert self.landing is not None
        own, other = self.landing.last_beat(), self.of_space.of(job_id).last_beat()
        return own is None or other is None or own - other > timedelta(seconds=LEASE)

    def keep(self) -> None:
        """Raises SpaceBusy where another run has taken this one for dead, and the space over."""
        assert self.job is not None
        found = self.store.get_job(self.job.job_id)
        if found is None or found.status is not JobStatus.RUNNING:
            raise SpaceBusy(
                f"space {self.space.space_key}: this run was silent for too long, and another one has the space; what"
                " it has landed is stored by that one"
            )
        now = datetime.now(UTC)
        if self.job.locked_utc is None or now - self.job.locked_utc > _SAY_AGAIN:
            self.job.locked_utc = now
            self.store.save_job(self.job)

    def dead(self) -> list[Landing]:
        """The folders of jobs that left one. While the space is claimed, no other job is at work in it."""
        assert self.job is not None
        others = [job_id for job_id in self.of_space.jobs() if job_id != self.job.job_id]
        # One without answers may be that of a driver which is about to find the space claimed.
        return [self.of_space.of(each) for each in others if self.of_space.of(each).files() or self._is_silent(each)]

    def __exit__(self, *error: Any) -> None:
        if self._heartbeat is not None:
            self._heartbeat.close()
        # Answers that could not be merged stay for the next run.
        if self.landing is not None:
            with suppress(OSError):
                if not self.landing.files():
                    self.landing.drop()


class _Spread:
    """One run: leftovers, the plan, the model's check, reuse, and waves."""

    def __init__(
        self,
        store: VectorStore,
        engine: TaskEngine,
        space: EmbeddingSpace,
        options: EmbedOptions,
        summary: EmbedSummary,
        on_progress: Callable[[EmbedSummary], None],
        claim: _Claim,
        run: VectorRun,
    ) -> None:
        self.store, self.engine, self.space, self.options = store, engine, space, options
        self.summary, self.on_progress, self.claim, self.run = summary, on_progress, claim, run
        assert claim.landing is not None
        self.landing = claim.landing
        self.ends = None if options.max_seconds is None else time.time() + options.max_seconds
        self.waves = 0

    def go(self) -> None:
        """Embeds what is pending. Raises as embed_space."""
        for left in self.claim.dead():
            merged = self._merge(left)
            logger.info("%s: %d vectors of a run that ended early were stored", left.address, merged)
            left.drop()
        plan = self._planned(self.options)
        self.summary.planned = plan.chunks
        self.on_progress(self.summary)
        if not plan.chunks:
            return
        with self._model() as sending:
            if sending is None:
                return
            self._reuse(plan)
            for passes_left in reversed(range(PASSES)):
                answered = self._pass(plan, sending) if plan.texts_to_embed else 0
                if not (passes_left and answered and self._ran_out_of_money()):
                    break
                # A task had spent its share; others may have some left.
                self.summary.stopped_by = None
                plan = self._planned(replace(self.options, limit=self._limit_left()))

    def _ran_out_of_money(self) -> bool:
        return self.summary.stopped_by == "max_cost"

    def _planned(self, options: EmbedOptions) -> EmbedPlan:
        return plan_space(self.store, self.space, options, priced=False, numbered=False)

    def _limit_left(self) -> int | None:
        limit = self.options.limit
        return None if limit is None else max(1, limit - self.summary.written - self.summary.quarantined)

    @contextmanager
    def _model(self) -> Iterator[Sending | None]:
        """The model, opened by the driver and checked to be the space's; None where `max_cost` does not allow it."""
        provider = open_provider(self.space)
        known = None
        if not provider.in_process and not self.options.batch_size:
            known = earlier_runs(self.store, self.space).max_batch_texts
        writer = AnswerWriter(self.space, self.summary)
        started = time.perf_counter()
        sending = Sending(provider, self.space, self.options, writer, iter(()), 0, started, known)
        sending.record_model(self.run)
        self.store.save_run(self.run)
        try:
            canaries = self.store.list_embedding_canaries(self.space.embedding_space_id)
            yield sending if sending.pin(self.store, self.run, canaries) else None
        finally:
            sending.calls.close()
            provider.close()

    def _reuse(self, plan: EmbedPlan) -> None:
        """Lands the vectors that the space has for the texts of other chunks, and merges them."""
        if not plan.texts_reused:
            return
        table = self.engine.table("embedding")
        made = {"embedding_id": "uuid()", "chunk_id": "pending.chunk_id", "run_id": "?", "created_utc": "?"}
        columns = ", ".join(
            f"cast({made.get(name, f'embedding.{name}')} as {kind}) as {name}"
            for name, kind in EMBEDDING_COLUMNS.items()
        )
        self.engine.land(
            f"select {columns}, cast(null as string) as reason, cast(null as string) as error_message,"
            " cast(null as double) as unknown_token_share"
            f" from {self.engine.temporary_table(PLAN)} as pending"
            f" inner join (select input_content_sha256, min(embedding_id) as embedding_id from {table}"
            " where embedding_space_id = ? group by input_content_sha256) as same"
            " on same.input_content_sha256 = pending.input_content_sha256 and pending.is_reused = 1"
            f" inner join {table} as embedding on embedding.embedding_id = same.embedding_id"
            " and embedding.embedding_space_id = ?",
            [self.run.run_id, datetime.now(UTC).replace(tzinfo=None), *[self.space.embedding_space_id] * 2],
            self.landing.address,
        )
        tokens = self._tokens_landed()
        stored = self._merge(self.landing)
        self.summary.reused += stored
        self.summary.reused_tokens += tokens

    def _tokens_landed(self) -> int:
        with self.engine.landed(self.landing.files(), COLUMNS) as rows:
            return int(self.engine.query(f"select coalesce(sum(input_tokens), 0) from {rows}")[0][0])

    def _pass(self, plan: EmbedPlan, sending: Sending) -> int:
        """Sends the texts of a plan, wave by wave; how many were answered."""
        waves = max(1, min(MOST_WAVES, math.ceil(plan.texts_to_embed / WAVE)))
        answered = 0
        for part in range(waves):
            self.claim.keep()
            if self.ends is not None and time.time() >= self.ends:
                self.summary.stopped_by = "max_seconds"
                break
            try:
                reports = self._wave(plan, sending, part, waves)
            except BaseException:
                with suppress(Exception):  # what has landed is merged by the next run, if not now
                    self._merge(self.landing)
                raise
            answered += sum(each["texts"] + each["quarantined"] for each in reports)
            self._merge(self.landing)
            self._count(reports, sending)
            self.on_progress(self.summary)
            self._raise_error_of(reports)
            if self.summary.stopped_by == "max_seconds":
                break
        return answered

    def _wave(self, plan: EmbedPlan, sending: Sending, part: int, waves: int) -> list[dict[str, Any]]:
        """Has the executors send one part of the plan's texts; what they report."""
        texts = math.ceil(plan.texts_to_embed / waves)
        tasks, options = self._shares(plan, sending, texts)
        self.waves += 1
        task = EmbedTask(
            self.space, options, self.run.run_id, self.landing.address, self.waves, math.ceil(texts / tasks),
            sending.pinned_digest, self.ends, sending.sizer.limit,
        )  # fmt: skip
        pending = self.engine.temporary_table(PLAN)
        select = (
            "select pending.input_content_sha256, min(chunk.content) as content,"
            " array_agg(pending.chunk_id) as chunk_ids, min(pending.byte_count) as byte_count"
            f" from {pending} as pending inner join {self.engine.table('chunk')} as chunk"
            " on chunk.chunk_id = pending.chunk_id and chunk.content_sha256 = pending.input_content_sha256"
            f" where pending.is_reused = 0 and {self.engine.part_of('pending.input_content_sha256', part, waves)}"
            " group by pending.input_content_sha256"
        )
        rows = self.engine.map_rows(select, [], task, REPORT, tasks, "input_content_sha256", "byte_count")
        return [json.loads(report) for (report,) in rows]

    def _shares(self, plan: EmbedPlan, sending: Sending, texts: int) -> tuple[int, EmbedOptions]:
        """Into how many tasks a wave is cut, and what each may spend: an equal part of the money and of the requests at
        a time. No more tasks than can each pay for a batch."""
        slots, options, provider = self.engine.tasks_at_a_time, self.options, sending.provider
        if options.concurrency is not None:
            slots = min(slots, options.concurrency)
        tasks = max(TASKS_PER_SLOT * slots, math.ceil(texts / TASK_TEXTS))
        tasks = max(1, min(tasks, math.ceil(texts / sending.first)))
        if options.concurrency is not None:
            tasks = min(tasks, slots)
        at_a_time = 1 if provider.in_process else max(1, (options.concurrency or 0) // slots)
        concurrency = at_a_time if options.concurrency or provider.in_process else None
        left = None
        if options.max_cost is not None:
            left = max(0.0, options.max_cost - (cost_of(self.space, self.summary.paid_tokens) or 0))
            batch = sending.first * estimated_tokens_of(math.ceil(plan.input_bytes / plan.texts_to_embed))
            price = cost_of(self.space, batch) or 0
            tasks = max(1, min(tasks, int(left / price))) if price else tasks
            left /= tasks
        return tasks, replace(options, concurrency=concurrency, max_cost=left)

    def _count(self, reports: Sequence[dict[str, Any]], sending: Sending) -> None:
        summary = self.summary
        for report in reports:
            for name in _ADDED:
                setattr(summary, name, getattr(summary, name) + report[name])
            summary.tokens_counted &= report["tokens_counted"]
            # The driver's own sending keeps what canaries took, and what is left of the limits.
            if report["max_batch_texts"] is not None:
                sending.sizer.limited(report["max_batch_texts"])
        summary.max_batch_texts = sending.sizer.limit
        summary.cost = cost_of(self.space, summary.paid_tokens)
        stopped = {report["stopped_by"] for report in reports} - {None}
        summary.stopped_by = "max_seconds" if "max_seconds" in stopped else "max_cost" if stopped else None

    def _raise_error_of(self, reports: Sequence[dict[str, Any]]) -> None:
        for report in reports:
            if report["error"]:
                kind = getattr(errors, report["error_type"], ProviderError)
                raise kind(report["error"])

    def _merge(self, landing: Landing) -> int:
        """Merges what has landed, and deletes it; the number of vectors that were new."""
        files = landing.files()
        if not files:
            return 0
        started = time.perf_counter()
        names = ", ".join(EMBEDDING_COLUMNS)
        with self.engine.landed(files, COLUMNS) as rows:
            # A task that was done twice may have landed a text twice.
            numbered = f"row_number() over (partition by {', '.join(EMBEDDING.key)} order by embedding_id)"
            one_each = (
                f"(select {names} from (select {names}, {numbered} as number from {rows} where reason is null)"
                " where number = 1)"
            )
            written = self.engine.insert_new(EMBEDDING.table, one_each, list(EMBEDDING_COLUMNS), EMBEDDING.key)
            self._merge_refused(rows)
        landing.delete(files)
        self.summary.written += written
        self.summary.seconds_in_database += time.perf_counter() - started
        return written

    def _merge_refused(self, rows: str) -> None:
        key = ", ".join(EMBEDDING_FAILURE.key)
        refused = self.engine.query(
            f"select {key}, max(run_id), max(reason), max(error_message), max(unknown_token_share) from {rows}"
            f" where reason is not null group by {key}"
        )
        stored = ledger_io.existing_rows(self.engine, EMBEDDING_FAILURE, [tuple(row[:3]) for row in refused])
        failures = []
        for chunk_id, space_id, content_sha256, run_id, reason, message, share in refused:
            found = stored.get((chunk_id, space_id, content_sha256))
            known = EMBEDDING_FAILURE.from_row(found, self.engine.decode_vector) if found else None
            if known is None or known.run_id != run_id:  # else it is there: that run ended between the two
                error = InputRefused(message, reason, share)
                failures.append(failure_of(chunk_id, space_id, content_sha256, run_id, error, known))
        if failures:
            self.store.save_embedding_failures(failures)
