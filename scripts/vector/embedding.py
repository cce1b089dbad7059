"""Embedding of what is pending in a space: plan, batch, call the model, write.

What is pending is always computed from the rows (`embedding_pending`), so a run may be killed at any point and the
next one finds exactly what is missing. No transaction is open while the model is called, and what a call brought is
stored before its worker is given another one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any

from vector.contracts.models import EmbeddingFailure, EmbeddingSpace, JobType, VectorEmbedding, VectorRun
from vector.errors import InputRefused
from vector.pinning import pin_or_check
from vector.planning import EmbedPlan, PendingText, plan_space, read_texts, read_vectors
from vector.providers import open_provider
from vector.providers.base import EmbeddingProvider, EmbeddingReply, PartlyRefused, PreprocessPolicy, check_reply
from vector.runs import recorded_run
from vector.store import VectorStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedOptions:
    """How to embed. None leaves the choice to the provider, or, for `limit` (in chunks), does not restrict."""

    limit: int | None = None
    batch_size: int | None = None
    concurrency: int | None = None


@dataclass
class EmbedSummary:
    """What a run did. `written` embeddings were stored, `reused` of them with a vector that another chunk of the same
    text had; `quarantined` chunks were refused by the model. Seconds are wall time; `seconds_in_model` adds up calls
    that overlapped. `error` says why the run stopped early, if it did."""

    space_key: str
    planned: int = 0
    written: int = 0
    reused: int = 0
    quarantined: int = 0
    texts: int = 0
    requests: int = 0
    input_tokens: int = 0
    truncated: int = 0
    seconds: float = 0.0
    seconds_in_model: float = 0.0
    seconds_in_database: float = 0.0
    run_id: str | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON; seconds rounded to milliseconds."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}


def embed_space(
    store: VectorStore,
    space: EmbeddingSpace,
    options: EmbedOptions | None = None,
    on_progress: Callable[[EmbedSummary], None] = lambda summary: None,
) -> EmbedSummary:
    """Embeds what is pending in the space and records a job and a run, also when there is nothing to do.

    Raises ProviderError or SpaceRefused when the model cannot be used; what was finished by then is stored.
    """
    options = options or EmbedOptions()
    summary = EmbedSummary(space.space_key)
    started = time.perf_counter()
    job_input = {"space_key": space.space_key, "limit": options.limit}
    with recorded_run(store, JobType.EMBED_CHUNKS, job_input, space.embedding_space_id) as run:
        summary.run_id = run.run_id
        plan = plan_space(store, space, options.limit)
        summary.planned = plan.chunks
        on_progress(summary)
        try:
            if plan.chunks:
                _run(store, space, options, plan, run, summary, on_progress)
        except BaseException as error:
            summary.error = str(error) or type(error).__name__
            raise
        finally:
            summary.seconds = time.perf_counter() - started
            counts = {key: value for key, value in summary.to_dict().items() if key not in ("run_id", "error")}
            run.metrics = {**counts, **(run.metrics or {})}
    return summary


def _run(
    store: VectorStore,
    space: EmbeddingSpace,
    options: EmbedOptions,
    plan: EmbedPlan,
    run: VectorRun,
    summary: EmbedSummary,
    on_progress: Callable[[EmbedSummary], None],
) -> None:
    policy = PreprocessPolicy.from_dict(space.preprocess_policy)
    provider = open_provider(space)
    batch_size = options.batch_size or provider.preferred_batch_size
    if provider.max_batch_texts:
        batch_size = min(batch_size, provider.max_batch_texts)
    concurrency = options.concurrency or provider.preferred_concurrency
    run.endpoint_url, run.model_digest = provider.endpoint_url, provider.model_digest or space.model_digest
    run.model_name, run.model_tag = space.model_name, space.model_tag
    run.options = {"batch_size": batch_size, "concurrency": concurrency, "model": provider.describe().to_dict()}
    writer = _Writer(store, space, run.run_id, summary, on_progress)
    batches = _batches(store, space, plan, batch_size, writer)
    retries: list[list[PendingText]] = []
    calls: dict[Future, list[PendingText]] = {}
    try:
        run.metrics = pin_or_check(store, space, provider, policy, run.run_id, options.batch_size).to_metrics()
        with ThreadPoolExecutor(concurrency, thread_name_prefix="embed") as pool:
            try:
                while True:
                    # One batch more than there are workers, so that none waits for the database.
                    while len(calls) <= concurrency:
                        texts = retries.pop() if retries else next(batches, None)
                        if texts is None:
                            break
                        calls[pool.submit(_call, provider, policy, texts, space.dimensions)] = texts
                    if not calls:
                        break
                    done, _ = wait(calls, return_when=FIRST_COMPLETED)
                    retries += _store_done({call: calls.pop(call) for call in done}, writer)
            except BaseException:
                provider.interrupt()
                _store_calls_in_flight(calls, writer)
                raise
    finally:
        if counts := provider.metrics():
            run.metrics = {**(run.metrics or {}), "server": counts}
        provider.close()


def _call(
    provider: EmbeddingProvider, policy: PreprocessPolicy, texts: list[PendingText], dimensions: int
) -> tuple[EmbeddingReply, float]:
    started = time.perf_counter()
    reply = provider.embed([policy.document_input(text.content) for text in texts])
    check_reply(reply, len(texts), dimensions)
    return reply, time.perf_counter() - started


def _store_done(done: dict[Future, list[PendingText]], writer: _Writer) -> list[list[PendingText]]:
    """Stores what the finished calls brought; the batches to try again, halved until the refused text is alone.

    When one call failed for another reason, the others are stored before its error is raised.
    """
    halves: list[list[PendingText]] = []
    fatal: BaseException | None = None
    for call, texts in done.items():
        error = call.exception()
        if error is None:
            reply, seconds = call.result()
            writer.add(texts, reply, seconds)
        elif isinstance(error, InputRefused):
            if isinstance(error, PartlyRefused):
                writer.add([texts[i] for i in error.kept], error.reply, 0.0)
                texts = [text for i, text in enumerate(texts) if i not in error.kept]
            if len(texts) == 1:
                writer.quarantine(texts[0], error)
            else:
                middle = len(texts) // 2
                halves += [half for half in (texts[:middle], texts[middle:]) if half]
        else:
            fatal = error
    writer.flush()
    if fatal:
        raise fatal
    return halves


def _store_calls_in_flight(calls: dict[Future, list[PendingText]], writer: _Writer) -> None:
    """Waits for the calls that the model has begun, and stores what they bring: it is paid for. The error that ended
    the run is the one that is told, so a further one is only logged."""
    begun = {call: texts for call, texts in calls.items() if not call.cancel()}
    wait(begun)
    try:
        _store_done({call: texts for call, texts in begun.items() if call.exception() is None}, writer)
    except Exception:
        logger.warning("what the last calls brought could not be stored", exc_info=True)


def _batches(
    store: VectorStore, space: EmbeddingSpace, plan: EmbedPlan, batch_size: int, writer: _Writer
) -> Iterator[list[PendingText]]:
    """Batches of the plan's texts, shortest first. Texts that have a vector in the space already are written here."""
    # A page reads the whole chunk table, so pages are large.
    page_size = batch_size * max(1, 10_000 // batch_size)
    for first in range(1, plan.texts + 1, page_size):
        started = time.perf_counter()
        texts = read_texts(store, first, first + page_size - 1)
        reusable = read_vectors(store, space, first, first + page_size - 1) if plan.texts_reused else {}
        writer.summary.seconds_in_database += time.perf_counter() - started
        for text in texts:
            if text.content_sha256 in reusable:
                writer.reuse(text, *reusable[text.content_sha256])
        writer.flush()
        fresh = [text for text in texts if text.content_sha256 not in reusable]
        for start in range(0, len(fresh), batch_size):
            yield fresh[start : start + batch_size]


class _Writer:
    """Gathers embeddings and writes them together, and keeps the summary."""

    def __init__(
        self,
        store: VectorStore,
        space: EmbeddingSpace,
        run_id: str,
        summary: EmbedSummary,
        on_progress: Callable[[EmbedSummary], None],
    ):
        self.store, self.space, self.run_id, self.summary = store, space, run_id, summary
        self.on_progress = on_progress
        self.waiting: list[VectorEmbedding] = []

    def add(self, texts: list[PendingText], reply: EmbeddingReply, seconds: float) -> None:
        """Takes the model's reply to a batch."""
        self.summary.requests += 1
        self.summary.texts += len(texts)
        self.summary.seconds_in_model += seconds
        for text, vector, given, used in zip(texts, reply.vectors, reply.input_tokens, reply.used_tokens, strict=True):
            self.summary.input_tokens += given or 0
            self.summary.truncated += int(_truncated(given, used) or False)
            self.summary.reused += len(text.chunk_ids) - 1
            self._gather(text, vector, given, used)

    def reuse(self, text: PendingText, vector: Any, input_tokens: int | None, used_tokens: int | None) -> None:
        """Takes the vector that the space already has for a text."""
        self.summary.reused += len(text.chunk_ids)
        self._gather(text, vector, input_tokens, used_tokens)

    def quarantine(self, text: PendingText, error: InputRefused) -> None:
        """Records that the model refuses a text."""
        self.summary.quarantined += len(text.chunk_ids)
        self.store.save_embedding_failures(
            EmbeddingFailure.create_new(
                chunk_id,
                self.space.embedding_space_id,
                text.content_sha256,
                error.reason,
                str(error),
                run_id=self.run_id,
            )
            for chunk_id in text.chunk_ids
        )

    def flush(self) -> None:
        """Writes what was gathered, in one transaction."""
        if self.waiting:
            started = time.perf_counter()
            result = self.store.save_embeddings(self.waiting)
            self.summary.written += result.inserted
            self.summary.seconds_in_database += time.perf_counter() - started
            self.waiting = []
        self.on_progress(self.summary)

    def _gather(self, text: PendingText, vector: Any, input_tokens: int | None, used_tokens: int | None) -> None:
        self.waiting += (
            VectorEmbedding.create_new(
                chunk_id=chunk_id,
                embedding_space_id=self.space.embedding_space_id,
                input_content_sha256=text.content_sha256,
                vector=vector,
                run_id=self.run_id,
                input_tokens=input_tokens,
                used_tokens=used_tokens,
                truncated_flag=_truncated(input_tokens, used_tokens),
            )
            for chunk_id in text.chunk_ids
        )


def _truncated(input_tokens: int | None, used_tokens: int | None) -> bool | None:
    return None if input_tokens is None or used_tokens is None else used_tokens < input_tokens
