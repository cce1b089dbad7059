"""What an embed run stores: vectors together, refused texts one by one, and the count of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import numpy as np

from vector.contracts.models import EmbeddingFailure, EmbeddingSpace, VectorRun
from vector.embedding.pending import PendingText
from vector.embedding.plan import cost_of
from vector.errors import UNCERTAIN_REASONS, InputRefused
from vector.providers.base import EmbeddingReply, PreprocessPolicy, estimated_tokens_of
from vector.providers.unknown_tokens import MOST_UNKNOWN
from vector.store import VectorStore
from vector.store.vector_batch import VectorBatch

# A text that no model refused is due again after so long, doubled with each failure.
FIRST_RETRY = timedelta(hours=1)
LAST_RETRY = timedelta(days=7)


@dataclass
class EmbedSummary:
    """What a run did. `written` embeddings were stored, `reused` of them with a vector that another chunk of the same
    text had; `quarantined` chunks were refused by the model.

    `texts` and `input_bytes` are what the model answered, `input_tokens` what they had, counted by the tokenizer or the
    server if `tokens_counted`, else partly estimated; `cost` is in the space's currency, None without a price.
    `reused_tokens` were not sent, as their vectors were reused.
    `canary_*` is the check of the model before the run. `unusable_*` was sent, and perhaps paid for, without a vector
    to store: the reply could not be used, did not come in time, or came when the run was at its end. `cost` is of all
    three. `max_batch_texts` is the most texts a request that the server takes, where that was told or learnt.
    Seconds are wall time; `seconds_in_model` adds up calls that overlapped, in `seconds_idle` no call was under way.
    `stopped_by` names the limit that ended the run before all was done, `error` why it failed, if it did.
    """

    space_key: str
    planned: int = 0
    written: int = 0
    reused: int = 0
    reused_tokens: int = 0
    quarantined: int = 0
    texts: int = 0
    requests: int = 0
    input_bytes: int = 0
    input_tokens: int = 0
    tokens_counted: bool = True
    cost: float | None = None
    truncated: int = 0
    canary_texts: int = 0
    canary_requests: int = 0
    canary_tokens: int = 0
    unusable_texts: int = 0
    unusable_requests: int = 0
    unusable_tokens: int = 0
    max_batch_texts: int | None = None
    seconds: float = 0.0
    seconds_in_model: float = 0.0
    seconds_in_database: float = 0.0
    seconds_idle: float = 0.0
    run_id: str | None = None
    stopped_by: str | None = None
    error: str | None = None

    @property
    def paid_tokens(self) -> int:
        """All that were sent and perhaps paid for."""
        return self.input_tokens + self.canary_tokens + self.unusable_tokens

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON; seconds rounded to milliseconds."""
        fields = asdict(self)
        return {name: round(value, 3) if name.startswith("seconds") else value for name, value in fields.items()}


@contextmanager
def recorded(summary: EmbedSummary, run: VectorRun) -> Iterator[float]:
    """Puts the summary of what is inside into the run, also when that fails; gives the start, of time.perf_counter."""
    started = perf_counter()
    try:
        yield started
    except BaseException as error:
        summary.error = str(error) or type(error).__name__
        raise
    finally:
        summary.seconds = perf_counter() - started
        counts = {key: value for key, value in summary.to_dict().items() if key not in ("run_id", "error")}
        run.metrics = {**counts, **(run.metrics or {})}


class AnswerWriter:
    """Gathers what a model answers, and keeps the summary. Where it is written, those say that inherit from this."""

    def __init__(self, space: EmbeddingSpace, summary: EmbedSummary):
        self.space, self.summary = space, summary
        self.policy = PreprocessPolicy.from_dict(space.preprocess_policy)
        self._waiting = VectorBatch(space, summary.run_id)

    def add(self, texts: Sequence[PendingText], reply: EmbeddingReply, seconds: float) -> None:
        """Takes the model's reply to a batch."""
        summary = self.summary
        summary.requests += 1
        summary.texts += len(texts)
        summary.seconds_in_model += seconds
        sizes = [self.policy.input_bytes(text.byte_count) for text in texts]
        summary.input_bytes += sum(sizes)
        counts = token_columns(reply, sizes)
        tokens = sum(given or 0 for given, *_ in counts) if reply.request_tokens is None else reply.request_tokens
        summary.input_tokens += tokens
        summary.tokens_counted &= reply.request_tokens is not None or not any(row[3] for row in counts)
        summary.cost = cost_of(self.space, summary.paid_tokens)
        shares = reply.unknown_shares or [0.0] * len(texts)
        for text, vector, row, share in zip(texts, reply.vectors, counts, shares, strict=True):
            if share > MOST_UNKNOWN:
                self.quarantine(text, _mostly_unknown(share))
                continue
            summary.truncated += int(row[2] or False)
            summary.reused += len(text.chunk_ids) - 1
            summary.reused_tokens += (len(text.chunk_ids) - 1) * (row[0] or 0)
            self._waiting.add(text.chunk_ids, text.content_sha256, vector, row)

    def reuse(self, text: PendingText, vector: Sequence[float], tokens: tuple) -> None:
        """Takes the vector that the space already has for a text, with its token columns."""
        self.summary.reused += len(text.chunk_ids)
        self.summary.reused_tokens += len(text.chunk_ids) * (tokens[0] or 0)
        self._waiting.add(text.chunk_ids, text.content_sha256, np.asarray(vector, dtype=np.float32), tokens)

    def quarantine(self, text: PendingText, error: InputRefused) -> None:
        """Records that the model refuses a text, for the first time or again."""
        raise NotImplementedError

    def flush(self) -> None:
        """Writes what was gathered."""
        raise NotImplementedError


class Writer(AnswerWriter):
    """Writes to the ledgers."""

    def __init__(
        self,
        store: VectorStore,
        space: EmbeddingSpace,
        summary: EmbedSummary,
        on_progress: Callable[[EmbedSummary], None],
    ):
        super().__init__(space, summary)
        self.store, self._on_progress = store, on_progress

    def quarantine(self, text: PendingText, error: InputRefused) -> None:
        """Records that the model refuses a text, for the first time or again."""
        self.summary.quarantined += len(text.chunk_ids)
        failures = self.store.list_embedding_failures(self.space.embedding_space_id, text.content_sha256)
        known = {failure.chunk_id: failure for failure in failures}
        of = (self.space.embedding_space_id, text.content_sha256, self.summary.run_id)
        self.store.save_embedding_failures(
            failure_of(chunk_id, *of, error, known.get(chunk_id)) for chunk_id in text.chunk_ids
        )

    def flush(self) -> None:
        """Writes what was gathered, in one transaction."""
        if len(self._waiting):
            started = perf_counter()
            self.summary.written += self.store.save_vector_batch(self._waiting).inserted
            self.summary.seconds_in_database += perf_counter() - started
            self._waiting = VectorBatch(self.space, self.summary.run_id)
        self._on_progress(self.summary)


def failure_of(
    chunk_id: str,
    embedding_space_id: str,
    content_sha256: str,
    run_id: str | None,
    error: InputRefused,
    known: EmbeddingFailure | None,
) -> EmbeddingFailure:
    """The record of a refused text: a new one, or the `known` one with one more attempt."""
    now = datetime.now(UTC)
    failure = known or EmbeddingFailure.create_new(
        chunk_id, embedding_space_id, content_sha256, error.reason, str(error), attempt_count=0
    )
    attempts = failure.attempt_count + 1
    return replace(
        failure,
        reason=error.reason,
        error_message=str(error),
        attempt_count=attempts,
        run_id=run_id,
        unknown_token_share=error.unknown_token_share,
        last_failed_utc=now,
        retry_after_utc=now + retry_delay(attempts) if error.reason in UNCERTAIN_REASONS else None,
    )


def _mostly_unknown(share: float) -> InputRefused:
    return InputRefused(
        f"the model's tokenizer does not know {share:.0%} of the text's tokens: its vector would be that of other such"
        " texts",
        reason="unknown_tokens",
        unknown_token_share=share,
    )


def retry_delay(attempts: int) -> timedelta:
    """How long a text rests that failed so often without being refused: an hour, doubled each time, a week at most."""
    return min(LAST_RETRY, FIRST_RETRY * 2 ** min(attempts - 1, 20))


def token_columns(reply: EmbeddingReply, sizes: Sequence[int]) -> list[tuple]:
    """For each text of a reply: input_tokens, used_tokens, truncated_flag, tokens_estimated_flag. `sizes` are the bytes
    of the inputs.

    Where only the request's tokens are known, each text has the share that its bytes have; where nothing is, a third of
    its bytes. Whether such a text was truncated is not known.
    """
    total = sum(sizes)
    rows = []
    for size, given, used in zip(sizes, reply.input_tokens, reply.used_tokens, strict=True):
        if given is not None:
            rows.append((given, used, None if used is None else used < given, False))
        elif reply.request_tokens is not None and total:
            share = max(1, round(reply.request_tokens * size / total))
            rows.append((share, share, None, True))
        else:
            rows.append((estimated_tokens_of(size), None, None, True))
    return rows
