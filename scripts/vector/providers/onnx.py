"""An embedding model in this process: ONNX Runtime and `tokenizers`, no hub and no network at run time."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused, VectorError
from vector.providers.base import (
    POOLINGS,
    DiscoveredModel,
    EmbeddingProvider,
    EmbeddingReply,
    ModelDescription,
    PreprocessPolicy,
    check_reply,
    unit_length,
    utf8,
)
from vector.providers.model_files import one_line
from vector.providers.onnx_models import (
    CPU,
    EXECUTION,
    INSTALL,
    OnnxFiles,
    execution_providers,
    folders_of_home,
    locate_model,
    locate_tokenizer,
    max_tokens_of,
    missing_module,
    pooled_digest,
    prefixes_of,
    unsupported,
)
from vector.providers.unknown_tokens import UnknownTokens

logger = logging.getLogger(__name__)

DEFAULT_MAX_TOKENS = 256
# What graphs call the vectors of tokens; without either, their first output.
_TOKEN_OUTPUTS = ("token_embeddings", "last_hidden_state")


class OnnxProvider(EmbeddingProvider):
    """A sentence-embedding model on ONNX Runtime, on the CPU of this process or what VECTOR_ONNX_EXECUTION_PROVIDERS
    names.

    Where the graph gives a vector a token, shape (1, tokens, dimensions), they become one by the space's pooling; where
    the space names none, by that of the model's folder (`1_Pooling/config.json`), else their mean. A graph may pool by
    itself: without a pooling of the space, its output `sentence_embedding`, or one of shape (1, dimensions), is taken
    as it is. Then the vector is L2-normalised where the space says so.

    Where the folder decides, the digest covers its word, so that a change of it is another model. Before version 0.2 a
    folder's word was not read: a space that is pinned to the weights alone keeps the mean.

    Opening it raises ConfigurationError when onnxruntime, tokenizers or a file is missing or broken, or cannot be
    pooled as the space says, SpaceRefused when the model's digest or dimensions are not the space's.
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
        files = locate_model(space.model_name)
        known = {files.digest, self._folders_digest(files)}
        if space.model_digest and space.model_digest not in known:
            self._refuse(space.model_digest, files.digest)
        self._load(files.weights, files.tokenizer)
        output = self._run(self._encode_all(["dimensions"])[0])
        self._dimensions = output.shape[-1]
        self._check_dimensions(space.dimensions)
        self._settle_pooling(files, output.ndim, space.model_digest)

    def _check_dimensions(self, wanted: int) -> None:
        if self._dimensions != wanted:
            raise SpaceRefused(
                f"onnx model {self._model_name!r} has {self._dimensions} dimensions, the space {wanted}: "
                "correct the space's dimensions, or add a new space"
            )

    def _folders_digest(self, files: OnnxFiles) -> str:
        """The digest of the model where its folder says how it is pooled, and the space does not."""
        decides = files.in_folder and not self._policy.pooling and files.pooling not in (None, "mean")
        return pooled_digest(files.digest, files.pooling or "") if decides else files.digest

    def _settle_pooling(self, files: OnnxFiles, axes: int, wanted_digest: str | None) -> None:
        """Sets pooling, None where the graph pools by itself, and the model's digest."""
        if axes == 2 and self._policy.pooling:
            raise ConfigurationError(
                f"onnx model {self._model_name!r}: its graph pools by itself (output {self._output!r}); leave the"
                " space's pooling empty"
            )
        self._weights_digest = files.digest
        self._pooling = None if axes == 2 else self._policy.pooling or files.pooling or "mean"
        self.model_digest = files.digest if axes == 2 else self._folders_digest(files)
        if wanted_digest and not self.become(wanted_digest):
            self._refuse(wanted_digest, self.model_digest)

    def become(self, pinned_digest: str) -> bool:
        """Also as the weights alone, where the folder decides the pooling: then by the mean, as before version 0.2."""
        if pinned_digest == self._weights_digest != self.model_digest:
            logger.warning(
                "onnx model %r: its folder says pooling %s; this space was filled by the mean, and keeps it. A new"
                " space with that pooling may find better",
                self._model_name,
                self._pooling,
            )
            self._pooling, self.model_digest = "mean", pinned_digest
        return self.model_digest == pinned_digest

    def _refuse(self, wanted: str, found: str) -> None:
        raise SpaceRefused(
            f"onnx model {self._model_name!r} has digest {found}, the space was made with {wanted}: restore that file,"
            " or add a new space"
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
        execution = execution_providers(onnxruntime.get_available_providers())
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=execution)
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
        except Exception as error:  # both libraries raise bare exceptions of their own
            raise ConfigurationError(
                f"onnx model {self._model_name!r} cannot be loaded from {model.parent}: {one_line(error)}"
            ) from None
        if self._session.get_providers()[0] != execution[0]:
            # ONNX Runtime goes on with the next one, and says so only in its own log.
            raise ConfigurationError(
                f"onnx model {self._model_name!r} does not run on {execution[0]} here (its libraries or device are"
                f" missing?): correct {EXECUTION}, or unset it for {CPU}"
            )
        self._input_types = {
            node.name: np.int32 if node.type == "tensor(int32)" else np.int64 for node in self._session.get_inputs()
        }
        unknown = set(self._input_types) - {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
        if unknown:
            raise ConfigurationError(
                f"onnx model {self._model_name!r} asks for inputs that this provider cannot give: "
                f"{', '.join(sorted(unknown))}"
            )
        outputs = [node.name for node in self._session.get_outputs()]
        wanted = _TOKEN_OUTPUTS if self._policy.pooling else ("sentence_embedding",)
        self._output = next((name for name in wanted if name in outputs), outputs[0])
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
        file = locate_tokenizer(space.model_name)
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

    @classmethod
    def list_models(cls) -> list[DiscoveredModel]:
        """The models in VECTOR_ONNX_HOME, each opened once, with what their folders say. Raises ConfigurationError when
        the variable names no folder of models."""
        return [_discovered(name) for name in folders_of_home()]

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
        for row, encoding in enumerate(self._encode_all(texts)):
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

    def _encode_all(self, texts: Sequence[str]) -> list[Any]:
        for text in texts:
            utf8(text)
        encodings = self._tokenizer.encode_batch(list(texts))
        for encoding in encodings:
            if len(encoding.ids) > self._max_tokens:
                raise InputRefused(
                    f"the text has {len(encoding.ids)} tokens, the space allows {self._max_tokens} and no truncation",
                    reason="too_long",
                )
        return encodings

    def _run(self, encoding: Any) -> np.ndarray:
        """The output of the graph for one text: of shape (1, tokens, dimensions) or (1, dimensions)."""
        feeds = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
            "position_ids": range(len(encoding.ids)),
        }
        arrays = {name: np.array([feeds[name]], dtype=dtype) for name, dtype in self._input_types.items()}
        try:
            output = self._session.run([self._output], arrays)[0]
        except Exception as error:  # onnxruntime's exceptions have no common base but this
            raise ProviderError(
                f"onnx model {self._model_name!r} failed on an input of {len(encoding.ids)} tokens (the space's "
                f"max_tokens is {self._max_tokens}; does the model take as many?): {one_line(error)}"
            ) from None
        if output.ndim not in (2, 3):
            raise ConfigurationError(
                f"onnx model {self._model_name!r}: output {self._output!r} has {output.ndim} axes; a sentence embedding"
                " has 2 or, before pooling, 3"
            )
        return output

    def _pooled(self, encoding: Any) -> np.ndarray:
        if unsupported(self._pooling):
            raise ConfigurationError(
                f"onnx model {self._model_name!r}: its folder's 1_Pooling/config.json says {self._pooling}, which this"
                f" provider cannot do: give a new space the pooling {', '.join(POOLINGS[:-1])} or {POOLINGS[-1]}"
            )
        output = self._run(encoding)[0]
        if self._pooling is None:
            return output
        # One text a run, so no token is padding.
        if self._pooling == "mean":
            return output.sum(axis=0) / np.float32(len(output))
        return output[0 if self._pooling == "cls" else -1]

    def fertility(self, text: str) -> float:
        """As UnknownTokens.fertility."""
        return self._unknown.fertility(text)

    def describe(self) -> ModelDescription:
        """Digest, the version of ONNX Runtime, and the space's limit of tokens."""
        return ModelDescription(
            digest=self.model_digest,
            served_model=self._model_name,
            runtime="onnxruntime",
            runtime_version=metadata.version("onnxruntime"),
            context_length=self._max_tokens,
            embedding_length=self._dimensions,
            pooling=self._pooling,
        )

    def close(self) -> None:
        """Drops the model from memory."""
        self._session = self._tokenizer = None


def _discovered(name: str) -> DiscoveredModel:
    """The model of a folder, its dimensions measured by opening it."""
    space = SimpleNamespace(
        model_name=name, model_digest=None, dimensions=None, normalize_flag=True, preprocess_policy={"pooling": None}
    )
    found = DiscoveredModel("onnx", name, None, None)
    try:
        files = locate_model(name)
        folder = files.tokenizer.parent
        if module := missing_module(folder):
            return replace(found, problem=f"modules.json has a step after pooling, {module}, which is not taken here")
        if unsupported(files.pooling):
            return replace(
                found, pooling=files.pooling, problem=f"its pooling is {files.pooling}, which is not done here"
            )
        with closing(_Probe(space)) as model:
            document_prefix, query_prefix = prefixes_of(folder)
            return replace(
                found,
                dimensions=model.dimensions,
                model_digest=files.digest,
                context_length=max_tokens_of(folder),
                pooling=(files.pooling or "mean") if model.pools else None,
                document_prefix=document_prefix,
                query_prefix=query_prefix,
            )
    except VectorError as error:
        return replace(found, problem=one_line(error))


class _Probe(OnnxProvider):
    """A model whose dimensions are not known yet."""

    def _check_dimensions(self, wanted: Any) -> None:
        pass

    @property
    def dimensions(self) -> int:
        """Those that its first vector showed."""
        return self._dimensions

    @property
    def pools(self) -> bool:
        """Whether the vectors of tokens become one here, not in the graph."""
        return self._pooling is not None
