"""Embedding providers: texts in, vectors out. `open_provider(space)` opens the one that a space names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from vector.errors import ConfigurationError
from vector.providers.base import (
    DiscoveredModel,
    EmbeddingProvider,
    EmbeddingReply,
    ModelDescription,
    PartlyRefused,
    PreprocessPolicy,
    check_reply,
    estimated_tokens,
)

__all__ = [
    "DiscoveredModel",
    "EmbeddingProvider",
    "EmbeddingReply",
    "ModelDescription",
    "PartlyRefused",
    "PreprocessPolicy",
    "check_reply",
    "discover_models",
    "estimated_tokens",
    "open_provider",
    "provider_class",
    "token_counter",
]

# provider name -> module and factory, imported on first use: a run pays only for the model that it calls.
PROVIDERS = {
    "azure_openai": ("vector.providers.azure_openai", "AzureOpenAIProvider"),
    "hash": ("vector.providers.hash", "HashProvider"),
    "ollama": ("vector.providers.ollama", "OllamaProvider"),
    "openai": ("vector.providers.openai", "OpenAIProvider"),
    "onnx": ("vector.providers.onnx", "OnnxProvider"),
    "static": ("vector.providers.static", "StaticProvider"),
}


def open_provider(space: Any) -> EmbeddingProvider:
    """The provider of an embedding space, its model found, checked and ready.

    `space` has the attributes provider, model_name, model_tag, model_digest, dimensions, normalize_flag and
    preprocess_policy (dict or None). Raises ConfigurationError for an unknown provider or a setting that is wrong,
    ProviderError when the model cannot be used, SpaceRefused when it is not the space's model.
    """
    opened = provider_class(space.provider)(space)
    opened.embedding_space_id = getattr(space, "embedding_space_id", None)
    return opened


def provider_class(provider: str) -> type[EmbeddingProvider]:
    """The class behind a provider's name. Raises ConfigurationError for an unknown one."""
    if provider not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        raise ConfigurationError(f"unknown embedding provider {provider!r}; known are {known}")
    module, factory = PROVIDERS[provider]
    return getattr(import_module(module), factory)


def token_counter(space: Any) -> Callable[[Sequence[str]], list[int]] | None:
    """What counts the tokens of inputs with the tokenizer of the space's model; None where that is not in this process.

    Raises ConfigurationError when the model's files are missing.
    """
    counter = getattr(provider_class(space.provider), "token_counter", None)
    return counter(space) if counter else None


def discover_models(provider: str) -> list[DiscoveredModel]:
    """The embedding models of the server that the environment names for a provider, dimensions measured.

    Raises ConfigurationError for a provider that has no server to ask, ProviderError when it does not answer.
    """
    list_models = getattr(provider_class(provider), "list_models", None)
    if list_models is None:
        raise ConfigurationError(f"the provider {provider!r} has no server that lists models")
    return list_models()
