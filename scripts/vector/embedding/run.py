"""Embedding of what is pending in a space: plan, batch, call the model, write.

What is pending is always computed from the rows (`embedding_pending`), so a run may be killed at any point and the
next one finds exactly what is missing. No transaction is open while the model is called, and what a call brought is
stored before its worker is given another one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from vector.contracts.models import EmbeddingSpace, JobType, VectorRun
from vector.embedding.batching import Batches, BatchSizer, Halves
from vector.embedding.model_calls import ModelCalls
from vector.embedding.open_models import OpenModel, OpenModels
from vector.embedding.options import EmbedOptions
from vector.embedding.pending import PendingText, read_fresh_texts, read_reused_texts
from vector.embedding.plan import (
    EmbedPlan,
    cost_of,
    first_batches,
    plan_space,
    refuse_unpriced,
)
from vector.embedding.throughput import earlier_runs
from vector.embedding.writer import EmbedSummary, Writer
from vector.errors import CallsGivenUp, InputRefused, ModelMissing, ProviderError, SpaceBusy, SpaceRefused
from vector.providers import open_provider
from vector.providers.base import (
    PartlyRefused,
    estimated_tokens,
    estimated_tokens_of,
    reply_tokens,
)
from vector.spaces.canaries import CANARIES, CanaryCalls
from vector.spaces.pinning import pin_or_check, refuse_swapped_model
from vector.store import VectorStore
from vector.store.runs import recorded_run, running_elsewhere
from vector.store.sketches import keep_sketched

__all__ = ["EmbedOptions", "EmbedSummary", "embed_space"]

logger = logging.getLogger(__name__)

# Seconds without an answer after which progress is told again.
LOOK = 1.0
# What a server says of a batch that a smaller one might not meet.
_OVERWHELMED = ("batch_too_large", "timeout")
# Refusals for good: of several texts, their number may be why.
_FOR_GOOD = ("batch_too_large", "refused", "too_long")
# So many batches in a row whose reply was not of the protocol end the run. Halves of one batch with one bad text in it
# make two at the most.
MAX_BAD_REPLIES = 4


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
    with _alone_in(store, space):
        if run is not None:
            return _embed(store, space, options, on_progress, run, models)
        job_input = {"space_key": space.space_key, "limit": options.limit}
        with recorded_run(store, JobType.EMBED_CHUNKS, job_input, space.embedding_space_id) as own_run:
            return _embed(store, space, options, on_progress, own_run, models)


@contextmanager
def _alone_in(store: VectorStore, space: EmbeddingSpace) -> Iterator[None]:
    """Two sessions that embed into one space would both pay for what is pending."""
    with store.engine.exclusive(f"embed:{space.embedding_space_id}") as alone:
        if not alone:
            raise SpaceBusy(
                f"space {space.space_key} is being embedded into by {running_elsewhere(store, space)};"
                " wait for it, or stop it"
            )
        with store.engine.many_writes():
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
    started = time.perf_counter()
    try:
        plan = plan_space(store, space, options, priced=False)
        summary.planned = plan.chunks
        on_progress(summary)
        if plan.chunks:
            writer = Writer(store, space, summary, on_progress)
            _Run(store, space, options, plan, summary, writer, started, models).go(run)
            if not summary.stopped_by:
                keep_sketched(store, space)
    except BaseException as error:
        summary.error = str(error) or type(error).__name__
        raise
    finally:
        summary.seconds = time.perf_counter() - started
        counts = {key: value for key, value in summary.to_dict().items() if key not in ("run_id", "error")}
        run.metrics = {**counts, **(run.metrics or {})}
    return summary


class _Run:
    """One pass over a plan: batches go out, several at a time, and come back in any order."""

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
        self.policy = writer.policy
        self.batches = Batches(self._texts(), self._tokens)
        self.halves: Halves[PendingText] = Halves()
        # Batches of several texts whose reply was not of the protocol, since the last one that was well answered.
        self.bad_replies = 0
        self.models = models or OpenModels()
        self.closes_models = models is None

    def go(self, run: VectorRun) -> None:
        """Embeds the plan. Raises what a call of the model raised, when what the others brought is stored."""
        space = self.space
        kept = self.models.get(space)
        self.provider = provider = kept.provider if kept else open_provider(space)
        concurrency = self.options.concurrency or provider.preferred_concurrency
        self.calls = ModelCalls(provider, space.dimensions, self.policy, concurrency)
        provider.may_repeat = self._may_repeat
        known = None
        if not provider.in_process and not self.options.batch_size:
            known = earlier_runs(self.store, space).max_batch_texts
        first, self.max_tokens = first_batches(provider, self.options, self.plan.texts_to_embed, known)
        largest = first if self.options.batch_size else (provider.largest_batch_size or first)
        self.sizer = BatchSizer(first, min(largest, provider.max_batch_texts or largest), known)
        self.canary_calls = CanaryCalls(provider, self.policy, space.dimensions)
        self.canary_calls.batch_limit = known
        run.endpoint_url, run.model_digest = provider.endpoint_url, provider.model_digest or space.model_digest
        run.model_name, run.model_tag = space.model_name, space.model_tag
        run.options = {"batch_size": first, "concurrency": concurrency, "model": provider.describe().to_dict()}
        self.store.save_run(run)
        try:
            if not self._pin(run, kept):
                return
            self._reuse()
            try:
                self._embed_all()
            except BaseException as error:
                provider.interrupt()
                self._store_calls_in_flight(error)
                raise
        finally:
            self.calls.close()
            self._count_paid(ended=True)
            self.summary.seconds_idle = time.perf_counter() - self.started - self.calls.seconds_busy
            run.metrics = {**(run.metrics or {}), "batch_size": self.sizer.size}
            if counts := provider.metrics():
                run.metrics["server"] = counts
            if self.closes_models or self.models.get(space) is None:
                provider.close()

    def _pin(self, run: VectorRun, kept: OpenModel | None) -> bool:
        """Refuses a model that is not the space's, before anything is embedded. False when `max_cost` does not allow
        to ask it."""
        canaries = self.store.list_embedding_canaries(self.space.embedding_space_id)
        if kept and canaries:
            self.pinned_digest = kept.pin.model_digest
            return True
        # On first use the canaries are sent twice, alone and together.
        tokens = (1 if canaries else 2) * sum(estimated_tokens(self.policy.document_input(text)) for text in CANARIES)
        if self.options.max_cost is not None and (cost_of(self.space, tokens) or 0) > self.options.max_cost:
            self.summary.stopped_by = "max_cost"
            return False
        pin = pin_or_check(
            self.store,
            self.space,
            self.provider,
            self.policy,
            run.run_id,
            self.options.batch_size,
            canaries,
            self.canary_calls,
        )
        self.pinned_digest = pin.model_digest
        self._count_paid()
        if self.canary_calls.batch_limit is not None:
            self.sizer.limited(self.canary_calls.batch_limit)
        run.metrics = pin.to_metrics()
        self.models.keep(self.space, OpenModel(self.provider, pin))
        return True

    def _reuse(self) -> None:
        for page in read_reused_texts(self.store, self.space, self.plan.texts_reused):
            for text, (vector, *tokens) in page:
                self.writer.reuse(text, vector, tuple(tokens))
            self.writer.flush()

    def _embed_all(self) -> None:
        while True:
            while self.calls.wants_more and (texts := self._next_batch()):
                self.calls.begin(texts)
            if not self.calls:
                break
            if ended := self.calls.finished_within(LOOK):
                self._store_done(ended)
            else:
                self.writer.flush()  # whoever watches may want to stop

    def _next_batch(self) -> list[PendingText]:
        """The texts to send next; none when all were sent, or a limit was reached and some are left."""
        if self.summary.stopped_by:
            return []
        batch = self.halves.next(self.sizer.limit) or self.batches.next(self.sizer.size, self.max_tokens)
        if batch and self._out_of_time():
            self.summary.stopped_by = "max_seconds"
        elif batch and self._too_dear(batch):
            self.summary.stopped_by = "max_cost"
        return [] if self.summary.stopped_by else batch

    def _out_of_time(self) -> bool:
        limit = self.options.max_seconds
        return limit is not None and time.perf_counter() - self.started >= limit

    def _too_dear(self, batch: list[PendingText]) -> bool:
        if self.options.max_cost is None:
            return False
        self._count_paid()
        under_way = sum(self._tokens(text) for text in self.calls.texts())
        tokens = self.summary.paid_tokens + under_way + sum(self._tokens(text) for text in batch)
        return (cost_of(self.space, tokens) or 0) > self.options.max_cost

    def _may_repeat(self, texts: Sequence[str]) -> bool:
        """Whether `max_cost` allows to send texts again that were perhaps paid for. Called by the threads of calls. The
        first sending is in the provider's counts, and the texts are among the calls under way."""
        if self.options.max_cost is None:
            return True
        under_way = sum(self._tokens(text) for text in self.calls.texts())
        unusable = self.provider.metrics().get("unusable_tokens", 0)
        tokens = self.summary.input_tokens + self.canary_calls.tokens + unusable
        tokens += max(under_way, sum(map(estimated_tokens, texts)))
        return (cost_of(self.space, tokens) or 0) <= self.options.max_cost

    def _count_paid(self, ended: bool = False) -> None:
        """Updates the summary's canary_*, unusable_* and cost. When the run has ended, results that were not stored
        count as unusable."""
        summary, counts, calls = self.summary, self.provider.metrics(), self.canary_calls
        summary.canary_texts, summary.canary_requests, summary.canary_tokens = calls.texts, calls.requests, calls.tokens
        requests, texts, tokens = (counts.get(f"unusable_{name}", 0) for name in ("requests", "texts", "tokens"))
        for batch, call in self.calls.left() if ended else ():
            more_texts, more_tokens = self._lost(batch, call)
            requests, texts, tokens = requests + bool(more_texts), texts + more_texts, tokens + more_tokens
        summary.unusable_requests, summary.unusable_texts, summary.unusable_tokens = requests, texts, tokens
        summary.cost = cost_of(self.space, summary.paid_tokens)
        summary.max_batch_texts = self.sizer.limit

    def _lost(self, batch: list[PendingText], call: Future) -> tuple[int, int]:
        """Texts and tokens of a call that was paid for, or may be, and whose vectors are not stored."""
        inputs = [self.policy.document_input(text.content) for text in batch]
        if not call.done():
            return len(inputs), sum(map(estimated_tokens, inputs))
        error = call.exception()
        if error is None:
            return len(inputs), reply_tokens(call.result()[0], inputs)
        if isinstance(error, PartlyRefused):
            kept = [inputs[position] for position in error.kept]
            return len(kept), reply_tokens(error.reply, kept)
        return 0, 0  # counted by the provider

    def _texts(self) -> Iterator[PendingText]:
        texts = read_fresh_texts(self.store, self.plan.texts_to_embed)
        while True:
            started = time.perf_counter()
            text = next(texts, None)
            self.summary.seconds_in_database += time.perf_counter() - started
            if text is None:
                return
            yield text

    def _tokens(self, text: PendingText) -> int:
        return estimated_tokens_of(self.policy.input_bytes(text.byte_count))

    def _store_done(self, done: Iterable[Future]) -> None:
        """Stores what the finished calls brought. Refused batches are halved, until the refused text is alone.

        When one call failed for another reason, the others are stored before its error is raised. A call is forgotten
        when the writer has what it brought, so that a signal in between loses nothing.
        """
        fatal: BaseException | None = None
        self._refuse_swapped_model()
        for call in done:
            texts, error = self.calls.batch(call), call.exception()
            if error is None:
                reply, seconds = call.result()
                self._answered(texts, seconds)
                self.writer.add(texts, reply, seconds)
            elif isinstance(error, InputRefused):
                fatal = self._refused(texts, error) or fatal
            else:
                fatal = error
            self.calls.forget(call)
        self.writer.flush()
        if fatal:
            raise fatal

    def _refuse_swapped_model(self) -> None:
        """Compares the model's digest once more before its vectors are stored: it may have been replaced meanwhile."""
        try:
            refuse_swapped_model(self.provider, self.pinned_digest)
        except ModelMissing:
            raise
        except ProviderError as error:
            # A server that is gone by now answered as the pinned model, and is paid for.
            logger.warning("the model's digest could not be asked for again: %s", error)

    def _refused(self, texts: list[PendingText], error: InputRefused) -> ProviderError | None:
        """Cuts the batch in two, or quarantines a single text. Gives the error where the server is to blame instead."""
        self.halves.refused(texts)
        if isinstance(error, PartlyRefused):
            self.writer.add([texts[i] for i in error.kept], error.reply, 0.0)
            texts = [text for i, text in enumerate(texts) if i not in error.kept]
        # What is no less than was sent is a limit of something else.
        if (told := getattr(error, "largest", None)) and told < len(texts):
            self.sizer.limited(told)
        if error.reason in _OVERWHELMED:
            self.sizer.overwhelmed(len(texts))
        if len(texts) == 1:
            self.writer.quarantine(texts[0], error)
        elif error.reason == "bad_reply":
            # A smaller batch is paid for again, and nothing says that it does better.
            self.bad_replies += 1
            self.halves.cut(texts, last=True)
        else:
            self.halves.cut(texts, error.reason == "batch_too_large", last=error.reason not in _FOR_GOOD)
        if self.bad_replies < MAX_BAD_REPLIES:
            return None
        return ProviderError(
            f"{self.bad_replies} batches in a row were answered with what cannot be used: {error}; mend the server, or"
            " send one text a request (--batch-size 1)"
        )

    def _answered(self, texts: list[PendingText], seconds: float) -> None:
        self.sizer.answered(len(texts), sum(text.byte_count for text in texts), seconds)
        if len(texts) > 1:
            self.bad_replies = 0
        if limit := self.halves.answered(texts):
            self.sizer.limited(limit)

    def _store_calls_in_flight(self, cause: BaseException) -> None:
        """Waits for the calls that the model has begun, and stores what they bring: it is paid for. Not when the model
        is another one by now. The error that ended the run is the one that is told, so a further one is only logged.

        Raises CallsGivenUp when a signal ended the wait, and what had come by then is stored.
        """
        ended, given_up = self.calls.wind_up()
        lost = [self.calls.batch(call) for call in given_up]
        answered = [call for call in ended if isinstance(call.exception(), InputRefused | None)]
        brought = [self.calls.batch(call) for call in answered]
        try:
            self._store_done(answered)
        except (SpaceRefused, ModelMissing):
            logger.warning("what %d calls under way brought is not stored: the model was replaced", len(answered))
        except ProviderError:  # of bad replies: what could be stored is, and the run has its error
            pass
        except Exception as error:
            # The error that ended the run is told; of the same kind, it is the same cause.
            if type(error) is not type(cause):
                logger.warning("what the last calls brought could not be stored: %s", str(error).partition("\n")[0])
        except BaseException:  # a signal again
            lost += brought
        if lost:
            raise CallsGivenUp(lost)
