"""Sends texts to a model, several batches at a time, and hands over what it answers: the part of an embed run that is
the same wherever it works, in one process or in many."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future

from vector.contracts.models import EmbeddingCanary, EmbeddingSpace, VectorRun
from vector.embedding.batching import Batches, BatchSizer, Halves
from vector.embedding.model_calls import ModelCalls
from vector.embedding.options import EmbedOptions
from vector.embedding.pending import PendingText
from vector.embedding.plan import cost_of, first_batches
from vector.embedding.writer import AnswerWriter
from vector.errors import CallsGivenUp, InputRefused, ModelMissing, ProviderError, SpaceRefused
from vector.providers.base import (
    EmbeddingProvider,
    PartlyRefused,
    estimated_tokens,
    estimated_tokens_of,
    reply_tokens,
)
from vector.spaces.canaries import CANARIES, CanaryCalls
from vector.spaces.pinning import PinResult, pin_or_check, refuse_swapped_model
from vector.store import VectorStore

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
_UNUSABLE = ("requests", "texts", "tokens")


class Sending:
    """One pass over texts: batches go out, several at a time, and come back in any order.

    `first` is of first_batches; `known` the most texts a request that earlier runs found; `started` of
    time.perf_counter, since when `max_seconds` counts.
    """

    def __init__(
        self,
        provider: EmbeddingProvider,
        space: EmbeddingSpace,
        options: EmbedOptions,
        writer: AnswerWriter,
        texts: Iterator[PendingText],
        count: int,
        started: float,
        known: int | None = None,
    ) -> None:
        self.provider, self.space, self.options, self.writer = provider, space, options, writer
        self.summary, self.policy, self.started = writer.summary, writer.policy, started
        self.concurrency = options.concurrency or provider.preferred_concurrency
        self.batches = Batches(texts, self._tokens)
        self.halves: Halves[PendingText] = Halves()
        # Batches of several texts whose reply was not of the protocol, since the last one that was well answered.
        self.bad_replies = 0
        self.calls = ModelCalls(provider, space.dimensions, self.policy, self.concurrency)
        provider.may_repeat = self._may_repeat
        self.first, self.max_tokens = first_batches(provider, options, count, known)
        largest = self.first if options.batch_size else (provider.largest_batch_size or self.first)
        self.sizer = BatchSizer(self.first, min(largest, provider.max_batch_texts or largest), known)
        self.canary_calls = CanaryCalls(provider, self.policy, space.dimensions)
        self.canary_calls.batch_limit = known
        # A provider that stays open counts on from the run before.
        self._before = {name: provider.metrics().get(f"unusable_{name}", 0) for name in _UNUSABLE}
        self.pinned_digest: str | None = None

    def record_model(self, run: VectorRun) -> None:
        """Notes in the run which model it calls, and how."""
        provider, space = self.provider, self.space
        run.endpoint_url, run.model_digest = provider.endpoint_url, provider.model_digest or space.model_digest
        run.model_name, run.model_tag = space.model_name, space.model_tag
        model = provider.describe().to_dict()
        run.options = {"batch_size": self.first, "concurrency": self.concurrency, "model": model}

    def pin(self, store: VectorStore, run: VectorRun, canaries: Sequence[EmbeddingCanary]) -> PinResult | None:
        """Refuses a model that is not the space's, before anything is embedded; `canaries` are the stored ones. None
        when `max_cost` does not allow to ask it, of which the summary then says that it stopped the run."""
        # On first use the canaries are sent twice, alone and together.
        tokens = (1 if canaries else 2) * sum(estimated_tokens(self.policy.document_input(text)) for text in CANARIES)
        if self.options.max_cost is not None and (cost_of(self.space, tokens) or 0) > self.options.max_cost:
            self.summary.stopped_by = "max_cost"
            return None
        of = (self.space, self.provider, self.policy, run.run_id, self.options.batch_size)
        pin = pin_or_check(store, *of, canaries, self.canary_calls)
        self.pinned_digest = pin.model_digest
        self.count_paid()
        if self.canary_calls.batch_limit is not None:
            self.sizer.limited(self.canary_calls.batch_limit)
        run.metrics = pin.to_metrics()
        return pin

    def send_all(self) -> None:
        """Sends all texts, as far as the limits allow. Raises what a call of the model raised, when what the others
        brought is handed over."""
        try:
            self._send_all()
        except BaseException as error:
            self.provider.interrupt()
            self._store_calls_in_flight(error)
            raise

    def close(self) -> None:
        """Ends the threads, and counts what was paid for."""
        self.calls.close()
        self.count_paid(ended=True)
        self.summary.seconds_idle = time.perf_counter() - self.started - self.calls.seconds_busy

    def _send_all(self) -> None:
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
        self.count_paid()
        under_way = sum(self._tokens(text) for text in self.calls.texts())
        tokens = self.summary.paid_tokens + under_way + sum(self._tokens(text) for text in batch)
        return (cost_of(self.space, tokens) or 0) > self.options.max_cost

    def _may_repeat(self, texts: Sequence[str]) -> bool:
        """Whether `max_cost` allows to send texts again that were perhaps paid for. Called by the threads of calls. The
        first sending is in the provider's counts, and the texts are among the calls under way."""
        if self.options.max_cost is None:
            return True
        under_way = sum(self._tokens(text) for text in self.calls.texts())
        unusable = self._unusable()[2]
        tokens = self.summary.input_tokens + self.canary_calls.tokens + unusable
        tokens += max(under_way, sum(map(estimated_tokens, texts)))
        return (cost_of(self.space, tokens) or 0) <= self.options.max_cost

    def count_paid(self, ended: bool = False) -> None:
        """Updates the summary's canary_*, unusable_* and cost. When the run has ended, results that were not stored
        count as unusable."""
        summary, calls = self.summary, self.canary_calls
        summary.canary_texts, summary.canary_requests, summary.canary_tokens = calls.texts, calls.requests, calls.tokens
        requests, texts, tokens = self._unusable()
        for batch, call in self.calls.left() if ended else ():
            more_texts, more_tokens = self._lost(batch, call)
            requests, texts, tokens = requests + bool(more_texts), texts + more_texts, tokens + more_tokens
        summary.unusable_requests, summary.unusable_texts, summary.unusable_tokens = requests, texts, tokens
        summary.cost = cost_of(self.space, summary.paid_tokens)
        summary.max_batch_texts = self.sizer.limit

    def _unusable(self) -> list[int]:
        """Requests, texts and tokens that were sent in this pass and brought nothing to store."""
        counts = self.provider.metrics()
        return [counts.get(f"unusable_{name}", 0) - self._before[name] for name in _UNUSABLE]

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
