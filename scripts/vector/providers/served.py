"""What the providers of model servers share: requests of a size, checked replies, and whose fault a failure is.

A failure that the server does not explain is put down to the texts only when the server embeds another text right
after it. While nothing succeeds, no text is blamed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused, VectorError
from vector.providers.base import (
    EmbeddingProvider,
    EmbeddingReply,
    ModelDescription,
    PartlyRefused,
    PreprocessPolicy,
    estimated_tokens,
    reply_tokens,
    unit_length,
    utf8,
)
from vector.providers.http import HttpClient
from vector.providers.pacing import Clock, HttpPolicy
from vector.providers.refusals import Doubtful
from vector.providers.replies import plausible_tokens, reply_limit

PROBE = "probe"  # the text that tells a bad text from a bad server


class HttpProvider(EmbeddingProvider):
    """Embeds through an HttpClient; a protocol says how to ask (`_send`) and how to read the answer (`_told_tokens`,
    `_rows`). `policy` and `clock` are for tests."""

    in_process = False
    model_digest: str | None = None
    served_model: str | None = None
    refuses_long_texts = False

    def __init__(self, space: Any, policy: HttpPolicy | None = None, clock: Clock | None = None) -> None:
        self._check_policy(space.preprocess_policy)
        self._dimensions: int = space.dimensions
        self._normalize: bool = space.normalize_flag
        self._model = f"{space.model_name}:{space.model_tag}" if space.model_tag else space.model_name
        self._client = self.open_client(self._model, policy or HttpPolicy.from_env(), clock)
        self.endpoint_url = self._client.url

    def _check_policy(self, policy: dict[str, Any] | None) -> None:
        """Raises ConfigurationError for a limit of tokens, or a cut, which only the server could make."""
        PreprocessPolicy.from_dict(policy)
        given = policy or {}
        if given.get("pooling") is not None:
            raise ConfigurationError(
                f"preprocess policy: a model server pools by itself, so a space of provider {self.name} has no pooling:"
                " leave it empty"
            )
        if given.get("max_tokens") is not None or given.get("truncation") == "end":
            raise ConfigurationError(
                f"preprocess policy: a model server has its own limit of tokens, so a space of provider {self.name}"
                " has neither max_tokens nor truncation `end`: leave both empty, or write truncation `none`"
            )

    @classmethod
    @abstractmethod
    def open_client(cls, model: str, policy: HttpPolicy, clock: Clock | None = None) -> HttpClient:
        """The client of the server that the environment names; `model` is for messages. Sends nothing yet."""

    @abstractmethod
    def _send(self, texts: Sequence[str], tries: int | None = None) -> dict[str, Any]:
        """One request, by `_post`; raises what HttpClient.post raises."""

    @abstractmethod
    def _told_tokens(self, body: dict[str, Any]) -> Any:
        """The tokens of the request as the server counts them: whatever it says."""

    @abstractmethod
    def _rows(self, body: dict[str, Any], count: int) -> list[Any]:
        """One row per text, in their order, each whatever it may be. Raises Doubtful for a reply that is not of the
        protocol, ProviderError for one that nothing can be made of."""

    def embed(self, texts: Sequence[str]) -> EmbeddingReply:
        """The vectors of texts, in as few requests as the server's limits allow. Token counts are known only of a text
        sent alone: servers count a request's tokens together.

        Raises InputRefused when the server refuses the texts, or fails with them and not with others (of several it
        does not say which: the caller bisects), PartlyRefused when it did answer some, SpaceRefused when its vectors
        have another length than the space's, ProviderError when it cannot be used.
        """
        for text in texts:
            utf8(text)
        done: list[EmbeddingReply] = []
        for part in self._parts(texts):
            try:
                done.append(self._embed_part(part))
            except InputRefused as error:
                if not done:
                    raise
                kept = list(range(sum(len(reply.vectors) for reply in done)))
                if isinstance(error, PartlyRefused):
                    kept += [len(kept) + position for position in error.kept]
                    done.append(error.reply)
                raise PartlyRefused(str(error), error.reason, self._joined(done), kept) from None
            except VectorError:
                self._count_unusable(texts[: sum(len(reply.vectors) for reply in done)], done)
                raise
        return self._joined(done)

    def interrupt(self) -> None:
        """Ends the waits between tries, in every thread, with ProviderError; a request that was sent completes."""
        self._client.interrupt()

    def close(self) -> None:
        """Closes the connections; a call that waits to try again fails with ProviderError."""
        self._client.close()

    def describe(self) -> ModelDescription:
        """The digest, and the model that answered; None before the first reply."""
        return ModelDescription(digest=self.model_digest, served_model=self.served_model)

    def metrics(self) -> dict[str, Any]:
        """The fields of HttpCounts, so far."""
        return self._client.counters.read().to_dict()

    def _parts(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        start = tokens = 0
        for end, text in enumerate(texts):
            size = estimated_tokens(text) if self.max_batch_tokens else 0
            too_many = self.max_batch_texts is not None and end - start >= self.max_batch_texts
            too_long = self.max_batch_tokens is not None and tokens + size > self.max_batch_tokens
            if end > start and (too_many or too_long):
                yield texts[start:end]
                start, tokens = end, 0
            tokens += size
        if start < len(texts):
            yield texts[start:]

    def _joined(self, replies: list[EmbeddingReply]) -> EmbeddingReply:
        if not replies:
            return EmbeddingReply(np.empty((0, self._dimensions), dtype=np.float32), [], [], 0)
        if len(replies) == 1:
            return replies[0]
        counts = [reply.request_tokens for reply in replies]
        return EmbeddingReply(
            np.concatenate([reply.vectors for reply in replies]),
            [tokens for reply in replies for tokens in reply.input_tokens],
            [tokens for reply in replies for tokens in reply.used_tokens],
            None if None in counts else sum(counts),
        )

    def _embed_part(self, texts: Sequence[str]) -> EmbeddingReply:
        try:
            return self._asked(texts)
        except Doubtful as error:
            manner = self._manner()
            self._blame(error)
            if self._manner() != manner:
                return self._embed_part(texts)
            raise InputRefused(str(error), error.reason) from None
        except InputRefused as error:
            if error.reason == "batch_too_large" and len(texts) == 1:
                raise InputRefused(f"{error} (a text alone, so it is too long)", "too_long") from None
            raise

    def _manner(self) -> Any:
        """How the provider asks, where it has a choice: a probe may change it."""
        return None

    def _blame(self, error: Doubtful) -> None:
        """Returns when the texts are to blame; raises ProviderError when the server fails with another text too."""
        try:
            reply = self._asked([PROBE], tries=1)
        except InputRefused:
            raise error.otherwise from None
        self._count_unusable([PROBE], [reply])

    def _asked(self, texts: Sequence[str], tries: int | None = None) -> EmbeddingReply:
        """The checked reply to one request; what was paid for and is no good is counted."""
        body = self._send(texts, tries)
        tokens = plausible_tokens(self._told_tokens(body), texts)
        try:
            return self._checked(texts, self._rows(body, len(texts)), tokens)
        except PartlyRefused as error:
            # The tokens that the server told are those of all; they go with the vectors that are good.
            kept = set(error.kept)
            bad = [text for position, text in enumerate(texts) if position not in kept]
            self._add_unusable(0, bad, 0 if tokens is not None else sum(map(estimated_tokens, bad)))
            raise
        except VectorError:
            self._add_unusable(1, texts, tokens)
            raise

    def _post(self, path: str, payload: dict[str, Any], texts: Sequence[str], tries: int | None) -> dict[str, Any]:
        """The answer to a request with these texts, of no more bytes than their vectors can have."""

        def on_unusable() -> bool:
            self._add_unusable(1, texts, None)
            return self.may_repeat is None or self.may_repeat(texts)

        return self._client.post(path, payload, tries, reply_limit(len(texts), self._dimensions), on_unusable)

    def _add_unusable(self, requests: int, texts: Sequence[str], tokens: int | None) -> None:
        if tokens is None:
            tokens = sum(map(estimated_tokens, texts))
        self._client.counters.add(unusable_requests=requests, unusable_texts=len(texts), unusable_tokens=tokens)

    def _count_unusable(self, texts: Sequence[str], replies: Sequence[EmbeddingReply]) -> None:
        """Good replies to these texts, one after the other, that nobody gets."""
        start = 0
        for reply in replies:
            end = start + len(reply.vectors)
            self._add_unusable(1, texts[start:end], reply_tokens(reply, texts[start:end]))
            start = end

    def _checked(self, texts: Sequence[str], found: Sequence[Any], tokens: int | None) -> EmbeddingReply:
        """The reply, when it holds a good vector of the space's dimensions for every text; if for some, PartlyRefused.
        A zero vector is no good: it has no direction."""
        if len(found) != len(texts):
            raise self._doubtful(f"answered {len(texts)} texts with {len(found)} vectors", "bad_reply")
        rows = [_as_vector(row) for row in found]
        good = [
            position
            for position, row in enumerate(rows)
            if row is not None and row.size and np.isfinite(row).all() and row.any()
        ]
        for length in sorted({row.size for row in rows if row is not None and row.size} - {self._dimensions}):
            raise SpaceRefused(
                f"{self.name} model {self._model!r} answered a vector of {length} dimensions, the space has "
                f"{self._dimensions}: correct the space's dimensions, or add a new space"
            )
        vectors = np.stack([rows[position] for position in good]) if good else np.empty((0, self._dimensions))
        vectors = unit_length(vectors) if self._normalize else vectors.astype(np.float32)
        if len(good) == len(texts):
            unknown: list[int | None] = [None] * len(texts)
            # A server that cuts long texts by itself counts what is left; only one that refuses them is believed.
            counted = [tokens] if len(texts) == 1 and self.refuses_long_texts else unknown
            return EmbeddingReply(vectors, list(counted), list(counted), tokens)
        bad = next(position for position in range(len(texts)) if position not in good)
        what = f"answered text {bad + 1} of {len(texts)} with a vector {_fault(rows[bad])}"
        doubtful = self._doubtful(what, "bad_vector")
        if not good:
            raise doubtful
        missing: list[int | None] = [None] * len(good)
        reply = EmbeddingReply(vectors, missing, list(missing), tokens)
        raise PartlyRefused(str(doubtful), doubtful.reason, reply, good)

    def _doubtful(self, what: str, reason: str) -> Doubtful:
        return Doubtful(
            f"{self.name} model {self._model!r} {what}",
            reason,
            ProviderError(f"{self.name} model {self._model!r} at {self.endpoint_url} {what}"),
        )


def _as_vector(row: Any) -> np.ndarray | None:
    """The float32 vector of shape (dimensions,), which may be empty or hold NaN; None when it is no list of numbers.
    numpy would take texts and true for numbers; null is what servers write for NaN."""
    if isinstance(row, list) and not set(map(type, row)) <= {int, float, type(None)}:
        return None
    try:
        with np.errstate(over="ignore"):  # too large for float32 is infinity, which is refused as such
            vector = np.asarray(row, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        return None
    return vector if vector.ndim == 1 else None


def _fault(row: np.ndarray | None) -> str:
    if row is None:
        return "that is no list of numbers"
    if not row.size:
        return "of no dimensions"
    return "of zeros only" if np.isfinite(row).all() else "that is not finite (NaN or infinity)"
