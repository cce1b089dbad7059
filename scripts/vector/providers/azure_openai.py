"""Embeddings from Azure OpenAI: OpenAI's protocol, with a deployment where OpenAI has a model
(`POST /openai/deployments/{deployment}/embeddings`; Azure's "Azure OpenAI in Foundry Models REST API reference")."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from vector.errors import ConfigurationError
from vector.providers.base import DiscoveredModel
from vector.providers.http import Dialect, HttpClient
from vector.providers.openai import OpenAIProvider
from vector.providers.pacing import Clock, HttpPolicy
from vector.providers.transport import Credentials, split_credentials

EXAMPLE_URL = "https://my-resource.openai.azure.com"
DEFAULT_API_VERSION = "2024-10-21"  # the newest that is not a preview


class AzureOpenAIProvider(OpenAIProvider):
    """A deployment of Azure OpenAI at AZURE_OPENAI_ENDPOINT, with AZURE_OPENAI_API_KEY, or AZURE_OPENAI_AD_TOKEN (an
    Entra ID token, which goes before the key), and AZURE_OPENAI_API_VERSION.

    The deployment is the space's `model_tag`, else AZURE_OPENAI_DEPLOYMENT. Its name says nothing of the model behind
    it; that is `served_model`, from the replies, and SpaceRefused when it changes on the way.
    """

    name = "azure_openai"

    def __init__(self, space: Any, policy: HttpPolicy | None = None, clock: Clock | None = None) -> None:
        deployment = space.model_tag or os.environ.get("AZURE_OPENAI_DEPLOYMENT", "").strip()
        if not deployment:
            raise ConfigurationError(
                "the deployment is unknown: give the space a model_tag with its name, or set AZURE_OPENAI_DEPLOYMENT"
            )
        version = os.environ.get("AZURE_OPENAI_API_VERSION", "").strip() or DEFAULT_API_VERSION
        self._url_path = (
            f"/openai/deployments/{quote(deployment, safe='')}/embeddings?api-version={quote(version, safe='')}"
        )
        super().__init__(space, policy, clock)
        self._model = deployment

    @classmethod
    def open_client(cls, model: str, policy: HttpPolicy, clock: Clock | None = None) -> HttpClient:
        """The client of AZURE_OPENAI_ENDPOINT. Raises ConfigurationError when that is no URL, and without a key or
        token."""
        url, _ = split_credentials(os.environ.get("AZURE_OPENAI_ENDPOINT") or "", "AZURE_OPENAI_ENDPOINT", EXAMPLE_URL)
        token = os.environ.get("AZURE_OPENAI_AD_TOKEN", "").strip()
        key = os.environ.get("AZURE_OPENAI_API_KEY", "").strip()
        if not token and not key:
            raise ConfigurationError("neither AZURE_OPENAI_API_KEY nor AZURE_OPENAI_AD_TOKEN is set")
        dialect = Dialect(
            name="Azure OpenAI",
            unreachable="does AZURE_OPENAI_ENDPOINT name your resource?",
            denied="is AZURE_OPENAI_API_KEY right, or AZURE_OPENAI_AD_TOKEN still valid?",
            failed="see the resource's status in the Azure portal",
            missing="has no such deployment, or does not know AZURE_OPENAI_API_VERSION",
        )
        credentials = Credentials(Authorization=f"Bearer {token}") if token else Credentials(api_key=key)
        return HttpClient(dialect, url, credentials, policy, clock)

    @classmethod
    def list_models(cls, policy: HttpPolicy | None = None, clock: Clock | None = None) -> list[DiscoveredModel]:
        """Raises ConfigurationError: a resource lists what may be deployed, not what is."""
        raise ConfigurationError("Azure OpenAI does not list its deployments to API keys: see the Azure portal")

    def _path(self) -> str:
        return self._url_path

    def _named(self) -> dict[str, Any]:
        return {}
