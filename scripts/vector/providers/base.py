"""What every embedding provider promises, and how a text becomes a model's input.

A provider knows texts and vectors and nothing of databases. Texts reach it already prefixed, by the
`PreprocessPolicy` of the space that is being filled or searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

import numpy as np

from vector.errors import ConfigurationError, InputRefused, ProviderError, UnusableVector

TRUNCATIONS = ("end", "none")
POOLINGS = ("mean", "cls", "last")


@dataclass(frozen=True)
class PreprocessPolicy:
    """How a space turns a text into its model's input.

    `template` is filled with the text, then the prefix of its kind, document or query, is put before it.
    `truncation` says what happens above `max_tokens` (None: the provider's own limit): "end" drops the end of the
    input, "none" refuses it. `pooling` says how the vectors of an input's tokens become one, where the provider does
    that (`onnx`): their mean, the first ("cls") or the last; None: as the model's folder says, else the mean. Raises
    ConfigurationError on a value of the wrong kind.
    """

    document_prefix: str = ""
    query_prefix: str = ""
    template: str = "{text}"
    truncation: str = "end"
    max_tokens: int | None = None
    pooling: str | None = None

    def __post_init__(self) -> None:
        for name in ("document_prefix", "query_prefix", "template"):
            if not isinstance(getattr(self, name), str):
                raise _bad_value(name, getattr(self, name), "a text")
        if "{text}" not in self.template:
            raise _bad_value("template", self.template, "a text that contains {text}")
        if self.truncation not in TRUNCATIONS:
            raise _bad_value("truncation", self.truncation, " or ".join(map(repr, TRUNCATIONS)))
        if self.max_tokens is not None and (type(self.max_tokens) is not int or self.max_tokens < 1):
            raise _bad_value("max_tokens", self.max_tokens, "a whole number of at least 1")
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise _bad_value("pooling", self.pooling, " or ".join(map(repr, POOLINGS)))

    @classmethod
    def from_dict(cls, policy: dict[str, Any] | None) -> PreprocessPolicy:
        """The policy as a space stores it; None is the default policy. Raises ConfigurationError naming what is
        wrong, an unknown key included: a misspelt prefix would silently spoil every vector."""
        if policy is None:
            return cls()
        if not isinstance(policy, dict):
            raise ConfigurationError(f"preprocess policy: {policy!r} is not an object of keys and values")
        known = [field.name for field in fields(cls)]
        for key in policy:
            if key not in known:
                raise ConfigurationError(f"preprocess policy: unknown key {key!r}; known are {', '.join(known)}")
        return cls(**policy)

    def document_input(self, text: str) -> str:
        """The model's input for a text that is stored and found."""
        return self.document_prefix + self._filled(text)

    def query_input(self, text: str) -> str:
        """The model's input for a question that is searched with."""
        return self.query_prefix + self._filled(text)

    def input_bytes(self, text_bytes: int) -> int:
        """The bytes of a document's input whose text has so many, in UTF-8."""
        times = self.template.count("{text}")
        return len(self.document_input("").encode()) + times * text_bytes

    def _filled(self, text: str) -> str:
        # Not str.format: braces are ordinary characters in a text and in a template.
        return self.template.replace("{text}", text)


def _bad_value(name: str, value: Any, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"preprocess policy: {name} is {value!r}, it must be {wanted}")


@dataclass(frozen=True)
class EmbeddingReply:
    """One vector a text, in the order of the texts.

    `vectors` is a float32 array of shape (texts, dimensions). `input_tokens` and `used_tokens` count each text's
    tokens before and after truncation, the model's special tokens included; None where the provider cannot tell.
    `request_tokens` are those of all the texts together as the server counted them, which it may know when it does
    not know each. `unknown_shares` are the shares, 0 to 1, of each text's used tokens that the tokenizer does not know;
    None where the provider has no tokenizer.
    """

    vectors: np.ndarray
    input_tokens: list[int | None]
    used_tokens: list[int | None]
    request_tokens: int | None = None
    unknown_shares: list[float] | None = None


class PartlyRefused(InputRefused):
    """Some texts of a batch have their vectors, the rest failed as one batch that was refused.

    `reply` holds the vectors of the texts at the positions `kept` of the batch, so that they need not be paid for
    again. Of the rest, message and reason are those of the refusal: a single one is to be quarantined, several are to
    be tried by halves. A caller that takes this for InputRefused is right too, and pays twice.
    """

    def __init__(self, message: str, reason: str, reply: EmbeddingReply, kept: Sequence[int]):
        super().__init__(message, reason)
        self.reply, self.kept = reply, list(kept)


@dataclass(frozen=True)
class ModelDescription:
    """What a provider knows of its model; None where it cannot tell. No credentials.

    `served_model` is the model that answered, by the server's own account. `context_length` is in tokens, `pooling`
    one of the words that models use (mean, cls, last). `options` are settings sent with each request.
    """

    digest: str | None = None
    served_model: str | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    context_length: int | None = None
    embedding_length: int | None = None
    pooling: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The fields that are known, for JSON."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {})}


@dataclass(frozen=True)
class DiscoveredModel:
    """An embedding model that a server or a folder offers. `dimensions` were measured, by embedding a word; None, and
    why in `problem`, where that failed. A folder may tell the prefixes that its model wants."""

    provider: str
    model_name: str
    model_tag: str | None
    dimensions: int | None
    model_digest: str | None = None
    context_length: int | None = None
    pooling: str | None = None
    problem: str | None = None
    document_prefix: str | None = None
    query_prefix: str | None = None


class EmbeddingProvider(Protocol):
    """A model that is ready to be called; `embed` may be called from several threads at once.

    `in_process` says that a call is no request to a server, which may limit or charge for them.
    `endpoint_url` carries no credentials and is None for a model in this process. `model_digest` is "sha256:" and
    64 hex digits, or None where the model has none. `preferred_batch_size` texts a call and `preferred_concurrency`
    calls at a time are a good start; a server may do better with up to `largest_batch_size` texts (None: no other size
    is better). More than `max_batch_texts` texts or `max_batch_tokens` tokens a call are several requests (None: no
    limit). `embedding_space_id` is the space that it was opened for, where that is known: only vectors of this space
    may be compared with its own. `untold_order` is what a server does in place of telling which vector is whose, in
    words; None while its replies tell. `may_repeat` is asked before texts that were perhaps paid for are sent once
    more. A provider that inherits from this class gets the defaults.
    """

    name: str
    in_process: bool = True
    endpoint_url: str | None
    model_digest: str | None
    preferred_batch_size: int
    preferred_concurrency: int
    max_batch_texts: int | None = None
    max_batch_tokens: int | None = None
    largest_batch_size: int | None = None
    embedding_space_id: str | None = None
    untold_order: str | None = None
    may_repeat: Callable[[Sequence[str]], bool] | None = None

    @classmethod
    def batch_limits(cls, batch_size: int | None = None) -> tuple[int, int | None]:
        """Texts, and estimated tokens, of the first batches; `batch_size` is what the caller wishes for."""
        size = batch_size or cls.preferred_batch_size
        return min(size, cls.max_batch_texts or size), cls.max_batch_tokens

    def embed(self, texts: Sequence[str]) -> EmbeddingReply:
        """The vectors of texts that are already prefixed; no texts give no vectors.

        Raises InputRefused when the model refuses a text for good (of several texts it may not say which: the
        caller bisects), its subclass PartlyRefused when it did answer some of them, ProviderError when the model
        cannot be used, SpaceRefused when it is not the space's.
        """
        ...

    @contextmanager
    def proving_order(self) -> Iterator[None]:
        """Inside, a reply that does not tell which vector is whose counts as in the order of its texts, and the caller
        checks that it is; when this ends without an error, such replies are trusted from then on."""
        yield

    def interrupt(self) -> None:
        """Ends the waits between tries, in every thread; a call that is under way completes."""

    def close(self) -> None:
        """Releases the model or the connections; waits of calls under way end with ProviderError. Safe to call
        twice."""
        ...

    def describe(self) -> ModelDescription:
        """What the provider knows of its model; it may ask the server, and does not fail when that does not answer."""
        return ModelDescription(digest=self.model_digest)

    def current_digest(self) -> str | None:
        """The model's digest as it is now, which a server may have changed since the provider was opened."""
        return self.model_digest

    def fertility(self, text: str) -> float | None:
        """Tokens a letter of a text, as UnknownTokens.fertility counts; None where the provider has no tokenizer."""
        return None

    def become(self, pinned_digest: str) -> bool:
        """Answers from now on as the model of this digest, which the space is pinned to, if it can: then
        `model_digest` is this one. What a space leaves open is as it was when the space was filled."""
        return self.model_digest == pinned_digest

    def metrics(self) -> dict[str, Any]:
        """Counts of what was sent and waited for: the fields of HttpCounts; empty for a model in this process."""
        return {}


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, rather too many than too few: one for three bytes of UTF-8. For limits of
    requests and for costs that are planned, where no tokenizer is known."""
    return estimated_tokens_of(len(text.encode("utf-8", "replace")))


def estimated_tokens_of(byte_count: int) -> int:
    """The same for a text of so many bytes."""
    return byte_count // 3 + 1


def reply_tokens(reply: EmbeddingReply, texts: Sequence[str]) -> int:
    """The tokens of a reply to the texts: as the server counted them, together or each; else estimated."""
    if reply.request_tokens is not None:
        return reply.request_tokens
    counts = zip(texts, reply.input_tokens, strict=True)
    return sum(estimated_tokens(text) if known is None else known for text, known in counts)


def check_reply(reply: EmbeddingReply, count: int, dimensions: int) -> None:
    """Raises ProviderError unless the reply holds `count` vectors of `dimensions` finite floats, none of them zero: its
    subclass UnusableVector where a vector is to blame, not the form of the reply."""
    vectors = reply.vectors
    if vectors.ndim != 2 or len(vectors) != count:
        raise ProviderError(f"the model answered {count} texts with {len(vectors) if vectors.ndim else 0} vectors")
    for name in ("input_tokens", "used_tokens"):
        if len(getattr(reply, name)) != count:
            raise ProviderError(f"the model answered {count} texts with {len(getattr(reply, name))} {name}")
    if vectors.shape[1] != dimensions:
        raise ProviderError(f"the model answered vectors of {vectors.shape[1]} dimensions, the space has {dimensions}")
    for wrong, rows in (
        ("that is not finite (NaN or infinity)", ~np.isfinite(vectors).all(axis=1)),
        ("of zeros only", ~vectors.any(axis=1)),
    ):
        if rows.any():
            raise UnusableVector(f"the model answered text {int(rows.argmax()) + 1} of {count} with a vector {wrong}")


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """The float32 vectors, shape (n, dimensions), scaled to L2 norm 1; a zero vector stays zero."""
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    return (wide / np.where(norms == 0, 1, norms)).astype(np.float32)


def utf8(text: str) -> bytes:
    """The text's UTF-8 bytes; raises InputRefused(reason="not_unicode") on a lone surrogate, which has none."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputRefused(
            f"the text is not valid Unicode: lone surrogate at character {error.start}", reason="not_unicode"
        ) from None
