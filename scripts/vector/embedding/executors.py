"""What an executor does with its share of the texts: the model is opened once a process, called as anywhere else, and
what it answers lands at once, so that neither the end of the executor nor that of the driver loses an answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from vector.contracts.models import EmbeddingSpace
from vector.embedding.landing import Landing, LandingWriter
from vector.embedding.options import EmbedOptions
from vector.embedding.pending import PendingText
from vector.embedding.plan import cost_of
from vector.embedding.sending import Sending
from vector.embedding.writer import EmbedSummary
from vector.errors import VectorError
from vector.providers import open_provider
from vector.providers.base import EmbeddingProvider

# The one column of what a task gives: its summary as JSON.
REPORT = "report string"
# By space and run: a process that stays for the next task goes on with it.
_OPEN: dict[tuple[str, str | None], EmbeddingProvider] = {}


@dataclass(frozen=True)
class EmbedTask:
    """A share of a wave. `options` are what this task may spend; `ends` is when the run is out of time, in seconds of
    time.time; `texts` about how many a task has; `known` the most texts a request that the server takes."""

    space: EmbeddingSpace
    options: EmbedOptions
    run_id: str
    address: str
    wave: int
    texts: int
    pinned_digest: str | None
    ends: float | None = None
    known: int | None = None

    def __call__(self, number: int, batches: Iterator[Any]) -> Iterator[Any]:
        """Arrow batches of (content hash, content, chunk ids) to one with the task's summary. An error of ours is in
        it: raised, it would have the task done again, and paid again."""
        import pyarrow as pa

        summary, name = EmbedSummary(self.space.space_key or "", run_id=self.run_id), ""
        try:
            self._embed(number, batches, summary)
        except VectorError as error:
            name, summary.error = type(error).__name__, str(error)
        report = json.dumps({**asdict(summary), "error_type": name})
        yield pa.RecordBatch.from_arrays([pa.array([report], pa.string())], names=["report"])

    def _embed(self, number: int, batches: Iterator[Any], summary: EmbedSummary) -> None:
        landing, name = Landing(self.address), f"{self.wave:05d}-{number:05d}"
        landed = self._landed(landing, name, summary)
        provider = self._provider()
        paid = provider.endpoint_url is not None
        writer = LandingWriter(landing, name, self.space, summary, paid, time.monotonic)
        texts = (text for text in _texts(batches) if text.content_sha256 not in landed)
        started = time.perf_counter()
        sending = Sending(provider, self.space, self._left(summary), writer, texts, self.texts, started, self.known)
        sending.pinned_digest = self.pinned_digest
        try:
            sending.send_all()
        finally:
            try:
                writer.finish()
            finally:
                sending.close()
                summary.seconds = time.perf_counter() - started

    def _landed(self, landing: Landing, name: str, summary: EmbedSummary) -> set[str]:
        """The texts that an earlier attempt at this task was answered; they are in the summary."""
        columns = ("input_content_sha256", "input_tokens", "reason")
        rows = {row["input_content_sha256"]: row for row in landing.read(f"{name}-", columns)}
        summary.texts += sum(row["reason"] is None for row in rows.values())
        summary.input_tokens += sum(row["input_tokens"] or 0 for row in rows.values())
        summary.cost = cost_of(self.space, summary.paid_tokens)
        return set(rows)

    def _left(self, summary: EmbedSummary) -> EmbedOptions:
        # `max_cost` is compared with all that the summary has, what an earlier attempt was paid for included.
        seconds = None if self.ends is None else max(0.0, self.ends - time.time())
        return replace(self.options, max_seconds=seconds)

    def _provider(self) -> EmbeddingProvider:
        key = (self.space.embedding_space_id, self.run_id)
        if key not in _OPEN:
            for other in list(_OPEN):
                _OPEN.pop(other).close()
            provider = open_provider(self.space)
            if self.pinned_digest:
                provider.become(self.pinned_digest)
            with provider.proving_order():
                pass  # the driver has proven it, with the canaries
            _OPEN[key] = provider
        return _OPEN[key]


def _texts(batches: Iterator[Any]) -> Iterator[PendingText]:
    for batch in batches:
        for content_sha256, content, chunk_ids in zip(*(batch.column(i).to_pylist() for i in range(3)), strict=True):
            yield PendingText(content_sha256, content, sorted(chunk_ids))
