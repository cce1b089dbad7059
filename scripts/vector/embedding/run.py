"""Embedding of what is pending in a space: plan, batch, call the model, write.

What is pending is always computed from the rows (`embedding_pending`), so a run may be killed at any point and the
next one finds exactly what is missing. No transaction is open while the model is called, and what a call brought is
stored before its worker is given another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vector.contracts.models import EmbeddingSpace, JobType, VectorRun
from vector.embedding.open_models import OpenModel, OpenModels
from vector.embedding.options import EmbedOptions
from vector.embedding.pending import PendingText, read_fresh_texts, read_reused_texts
from vector.embedding.plan import (
    EmbedPlan,
    cost_of,
    plan_space,
    refuse_unpriced,
)
from vector.embedding.sending import Sending
from vector.embedding.throughput import earlier_runs
from vector.embedding.writer import EmbedSummary, Writer, recorded
from vector.engines.base import with_queue, with_tasks
from vector.errors import SpaceBusy
from vector.providers import open_provider
from vector.store import VectorStore
from vector.store.runs import recorded_run, running_elsewhere
from vector.store.sketches import keep_sketched

__all__ = ["EmbedOptions", "EmbedSummary", "embed_space"]


def embed_space(
    store: VectorStore,
    space: EmbeddingSpace,
    options: EmbedOptions | None = None,
    on_progress: Callable[[EmbedSummary], None] = lambda summary: None,
    run: VectorRun | None = None,
    models: OpenModels | None = None,
) -> EmbedSummary:
    """Embeds what is pending in the space and records a job and a run, also when there is nothing to do; with `run`,
    an attempt that a worker has recorded, that one gets options and metrics instead. A model in this process is taken
    from `models`, if given, and kept there.

    Raises SpaceBusy when another session embeds into the space, ConfigurationError when `max_cost` is given for a space
    without a price, ProviderError or SpaceRefused when the model cannot be used; what was finished by then is stored.
    """
    options = options or EmbedOptions()
    refuse_unpriced(space, options)
    if with_tasks(store.engine) is not None:
        from vector.embedding.spread import embed_in_tasks

        return embed_in_tasks(store, space, options, on_progress)
    with _alone_in(store, space):
        if run is not None:
            return _embed(store, space, options, on_progress, run, models)
        job_input = {"space_key": space.space_key, "limit": options.limit}
        with recorded_run(store, JobType.EMBED_CHUNKS, job_input, space.embedding_space_id) as own_run:
            return _embed(store, space, options, on_progress, own_run, models)


@contextmanager
def _alone_in(store: VectorStore, space: EmbeddingSpace) -> Iterator[None]:
    """Two sessions that embed into one space would both pay for what is pending."""
    engine = with_queue(store.engine)
    with engine.exclusive(f"embed:{space.embedding_space_id}") as alone:
        if not alone:
            raise SpaceBusy(
                f"space {space.space_key} is being embedded into by {running_elsewhere(store, space)};"
                " wait for it, or stop it"
            )
        with engine.many_writes():
            yield


def _embed(
    store: VectorStore,
    space: EmbeddingSpace,
    options: EmbedOptions,
    on_progress: Callable[[EmbedSummary], None],
    run: VectorRun,
    models: OpenModels | None,
) -> EmbedSummary:
    summary = EmbedSummary(space.space_key or "", run_id=run.run_id, cost=cost_of(space, 0))
    with recorded(summary, run) as started:
        plan = plan_space(store, space, options, priced=False)
        summary.planned = plan.chunks
        on_progress(summary)
        if plan.chunks:
            writer = Writer(store, space, summary, on_progress)
            _Run(store, space, options, plan, summary, writer, started, models).go(run)
            if not summary.stopped_by:
                keep_sketched(store, space)
    return summary


class _Run:
    """One pass over a plan: the model is opened and checked, vectors are reused, and texts are sent."""

    def __init__(
        self,
        store: VectorStore,
        space: EmbeddingSpace,
        options: EmbedOptions,
        plan: EmbedPlan,
        summary: EmbedSummary,
        writer: Writer,
        started: float,
        models: OpenModels | None,
    ) -> None:
        self.store, self.space, self.options, self.plan = store, space, options, plan
        self.summary, self.writer, self.started = summary, writer, started
        self.models = models or OpenModels()
        self.closes_models = models is None

    def go(self, run: VectorRun) -> None:
        """Embeds the plan. Raises what a call of the model raised, when what the others brought is stored."""
        space = self.space
        kept = self.models.get(space)
        provider = kept.provider if kept else open_provider(space)
        known = None
        if not provider.in_process and not self.options.batch_size:
            known = earlier_runs(self.store, space).max_batch_texts
        count = self.plan.texts_to_embed
        sending = Sending(provider, space, self.options, self.writer, self._texts(), count, self.started, known)
        sending.record_model(run)
        self.store.save_run(run)
        try:
            if not self._pin(run, kept, sending):
                return
            self._reuse()
            sending.send_all()
        finally:
            sending.close()
            run.metrics = {**(run.metrics or {}), "batch_size": sending.sizer.size}
            if counts := provider.metrics():
                run.metrics["server"] = counts
            if self.closes_models or self.models.get(space) is None:
                provider.close()

    def _pin(self, run: VectorRun, kept: OpenModel | None, sending: Sending) -> bool:
        """Refuses a model that is not the space's, before anything is embedded. False when `max_cost` does not allow
        to ask it."""
        canaries = self.store.list_embedding_canaries(self.space.embedding_space_id)
        if kept and canaries:
            sending.pinned_digest = kept.pin.model_digest
            return True
        pin = sending.pin(self.store, run, canaries)
        if pin is None:
            return False
        self.models.keep(self.space, OpenModel(sending.provider, pin))
        return True

    def _reuse(self) -> None:
        for page in read_reused_texts(self.store, self.space, self.plan.texts_reused):
            for text, (vector, *tokens) in page:
                self.writer.reuse(text, vector, tuple(tokens))
            self.writer.flush()

    def _texts(self) -> Iterator[PendingText]:
        texts = read_fresh_texts(self.store, self.plan.texts_to_embed)
        while True:
            started = time.perf_counter()
            text = next(texts, None)
            self.summary.seconds_in_database += time.perf_counter() - started
            if text is None:
                return
            yield text
