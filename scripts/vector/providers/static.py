"""A static embedding model in this process: one vector a token, looked up and averaged. No network at run time.

There is no attention and no word order, so it is far faster than a transformer, and finds less well. Such models are
made from the token embeddings of language models: WordLlama (github.com/dleemiller/WordLlama), Model2Vec.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from vector.errors import ConfigurationError, InputRefused, SpaceRefused
from vector.providers.base import (
    EmbeddingProvider,
    EmbeddingReply,
    ModelDescription,
    PreprocessPolicy,
    check_reply,
    unit_length,
    utf8,
)
from vector.providers.model_files import file_sha256, folder_file, one_line, packaged_file, user_path
from vector.providers.unknown_tokens import UnknownTokens

DEFAULT_MODEL = "wordllama-l2-supercat-256"
INSTALL = 'pip install "vector-runtime[static]"'

# The default model's two files: the installed distribution that carries each, its name and its sha256.
MODEL_FILE = (
    "wordllama",
    "l2_supercat_256.safetensors",
    "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
)
TOKENIZER_FILE = (
    "wordllama",
    "l2_supercat_tokenizer_config.json",
    "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)


def locate_model(model_name: str) -> tuple[Path, Path, str]:
    """The weights, the tokenizer and the model's digest ("sha256:" and the hex digest of the weights' file).

    The default model's files are those of an installed distribution, found without importing it, and must have the
    pinned hashes. Any other name is a folder in VECTOR_STATIC_HOME that holds model.safetensors and
    tokenizer.json. Raises ConfigurationError when a file is missing or is not the pinned one.
    """
    if model_name == DEFAULT_MODEL:
        model, tokenizer = packaged_file(*MODEL_FILE, INSTALL), packaged_file(*TOKENIZER_FILE, INSTALL)
        return model, tokenizer, f"sha256:{MODEL_FILE[2]}"
    folder = user_path("static", model_name, repr(DEFAULT_MODEL))
    model = folder_file("static", model_name, folder, "model.safetensors")
    tokenizer = folder_file("static", model_name, folder, "tokenizer.json")
    return model, tokenizer, f"sha256:{file_sha256(model)}"


class StaticProvider(EmbeddingProvider):
    """The mean of the vectors of a text's tokens, L2-normalised where the space says so.

    Special tokens are not added, and unknown ones are left out of the mean. Without `max_tokens` nothing is truncated:
    the model has no limit of its own. Opening it raises ConfigurationError when safetensors, tokenizers or a file is
    missing or broken, SpaceRefused when the model's digest or dimensions are not the space's.
    """

    name = "static"
    endpoint_url = None
    # Alone the model does as well with 256 texts, but the larger the batch, the less the database costs a row.
    preferred_batch_size = 2000
    # `tokenizers` uses every core for a batch; a second call at a time would only compete with it.
    preferred_concurrency = 1

    def __init__(self, space: Any) -> None:
        self._policy = PreprocessPolicy.from_dict(space.preprocess_policy)
        if self._policy.pooling not in (None, "mean"):
            raise ConfigurationError(
                f"preprocess policy: pooling is {self._policy.pooling!r}; a static model has a mean only: leave it"
                " empty"
            )
        self._normalize = space.normalize_flag
        self._model_name = space.model_name
        model, tokenizer, self.model_digest = locate_model(space.model_name)
        if space.model_digest and space.model_digest != self.model_digest:
            raise SpaceRefused(
                f"static model {space.model_name!r} has digest {self.model_digest}, the space was made with "
                f"{space.model_digest}: restore that file, or add a new space"
            )
        self._tokenizer = _open_tokenizer(space.model_name, tokenizer)
        self._matrix = _read_matrix(space.model_name, model)
        tokens, self._dimensions = self._matrix.shape
        if self._dimensions != space.dimensions:
            raise SpaceRefused(
                f"static model {space.model_name!r} has {self._dimensions} dimensions, the space {space.dimensions}: "
                "correct the space's dimensions, or add a new space"
            )
        highest = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if highest >= tokens:
            raise ConfigurationError(
                f"static model {space.model_name!r}: {model} has the vectors of {tokens} tokens, {tokenizer} has a "
                f"token {highest}: they are not of one model"
            )
        self._unknown = UnknownTokens(self._tokenizer, tokenizer, self._policy)

    @classmethod
    def token_counter(cls, space: Any) -> Callable[[Sequence[str]], list[int]]:
        """What counts the tokens of inputs before truncation. Raises ConfigurationError as opening the model does."""
        _, file, _ = locate_model(space.model_name)
        tokenizer = _open_tokenizer(space.model_name, file)
        return lambda texts: [len(encoding.ids) for encoding in _encode(tokenizer, texts)]

    def embed(self, texts: Sequence[str]) -> EmbeddingReply:
        """The vectors of texts, each the same bit for bit whatever it is embedded with, in whatever order.

        Raises InputRefused for a text that is not valid Unicode, blank (reason "empty"), without a token that the
        model knows ("unknown_tokens"), whose tokens' vectors add up to nothing ("zero_vector"), or too long for a
        policy that does not truncate ("too_long").
        """
        for text in texts:
            utf8(text)
            if not text.strip():
                raise InputRefused("the text is blank: there is no token to look up", reason="empty")
        means = np.empty((len(texts), self._dimensions), dtype=np.float64)
        input_tokens: list[int | None] = []
        used_tokens: list[int | None] = []
        unknown_shares: list[float] = []
        for row, encoding in enumerate(_encode(self._tokenizer, texts)):
            ids = self._truncated(encoding.ids)
            means[row] = self._mean(ids)
            input_tokens.append(len(encoding.ids))
            used_tokens.append(len(ids))
            unknown_shares.append(self._unknown.share(ids))
        vectors = unit_length(means) if self._normalize else means.astype(np.float32)
        reply = EmbeddingReply(vectors, input_tokens, used_tokens, unknown_shares=unknown_shares)
        check_reply(reply, len(texts), self._dimensions)
        return reply

    def _truncated(self, ids: list[int]) -> list[int]:
        limit = self._policy.max_tokens
        if limit is None or len(ids) <= limit:
            return ids
        if self._policy.truncation == "none":
            raise InputRefused(
                f"the text has {len(ids)} tokens, the space allows {limit} and no truncation", reason="too_long"
            )
        return ids[:limit]

    def _mean(self, ids: list[int]) -> np.ndarray:
        """Float64 of shape (dimensions,). One text at a time: a padded batch would be slower. A sum of float16 weights
        is exact in float64, so no order of summation can make machines differ."""
        known = np.array(ids, dtype=np.intp)
        if self._unknown.token is not None:
            known = known[known != self._unknown.token]
        if not len(known):
            raise InputRefused(
                f"the model knows none of the text's {len(ids)} tokens",
                reason="unknown_tokens",
                unknown_token_share=1.0,
            )
        total = self._matrix[known].sum(axis=0, dtype=np.float64)
        if not total.any():
            raise InputRefused("the vectors of the text's tokens add up to zero", reason="zero_vector")
        return total / len(known)

    def fertility(self, text: str) -> float:
        """As UnknownTokens.fertility."""
        return self._unknown.fertility(text)

    def describe(self) -> ModelDescription:
        """Digest, the version of the tokenizer's library, and the space's limit of tokens."""
        return ModelDescription(
            digest=self.model_digest,
            served_model=self._model_name,
            runtime="tokenizers",
            runtime_version=metadata.version("tokenizers"),
            context_length=self._policy.max_tokens,
            embedding_length=self._dimensions,
            pooling="mean",
        )

    def close(self) -> None:
        """Drops the model from memory."""
        self._matrix = self._tokenizer = None


def _open_tokenizer(model_name: str, path: Path) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ConfigurationError(f"the static provider needs tokenizers: {INSTALL}") from None
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        raise ConfigurationError(
            f"static model {model_name!r} cannot be loaded from {path}: {one_line(error)}"
        ) from None
    # The file may carry settings of its own for both.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[Any]:
    return tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)


def _read_matrix(model_name: str, path: Path) -> np.ndarray:
    """The one tensor of the file as float32, shape (tokens, dimensions)."""
    try:
        from safetensors.numpy import load_file
    except ImportError:
        raise ConfigurationError(f"the static provider needs safetensors: {INSTALL}") from None
    try:
        tensors = load_file(str(path))
    except Exception as error:  # SafetensorError, OSError, and KeyError for a type that numpy does not have
        raise ConfigurationError(
            f"static model {model_name!r} cannot be loaded from {path}: {one_line(error)}"
        ) from None
    shapes = {name: f"{tensor.dtype} {list(tensor.shape)}" for name, tensor in tensors.items()}
    (matrix,) = tensors.values() if len(tensors) == 1 else (None,)
    if matrix is None or matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise ConfigurationError(
            f"static model {model_name!r}: {path} holds {shapes}; this provider reads a single table of floats, "
            "one row per token"
        )
    return matrix.astype(np.float32)
