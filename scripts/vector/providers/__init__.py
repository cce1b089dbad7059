"""Embedding providers: texts in, vectors out. `open_provider(space)` opens the one that a space names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vector.errors import ConfigurationError
from vector.providers.base import EmbeddingProvider, EmbeddingReply, PreprocessPolicy, check_reply

__all__ = ["EmbeddingProvider", "EmbeddingReply", "PreprocessPolicy", "check_reply", "open_provider"]

# provider name -> module and factory, imported on first use: a run pays only for the model that it calls.
PROVIDERS = {
    "hash": ("vector.providers.hash", "HashProvider"),
    "ollama": ("vector.providers.ollama", "OllamaProvider"),
    "onnx": ("vector.providers.onnx", "OnnxProvider"),
}


def open_provider(space: Any) -> EmbeddingProvider:
    """The provider of an embedding space, its model found, checked and ready.

    `space` has the attributes provider, model_name, model_tag, model_digest, dimensions, normalize_flag and
    preprocess_policy (dict or None). Raises ConfigurationError for an unknown provider or a setting that is wrong,
    ProviderError when the model cannot be used, SpaceRefused when it is not the space's model.
    """
    if space.provider not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        raise ConfigurationError(f"unknown embedding provider {space.provider!r}; known are {known}")
    module, factory = PROVIDERS[space.provider]
    return getattr(import_module(module), factory)(space)
