"""Embeddings from an Ollama server, over its own protocol (`POST /api/embed`; Ollama's docs/api.md)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vector.errors import ConfigurationError, InputRefused, ModelMissing, ProviderError, SpaceRefused, VectorError
from vector.providers.base import DiscoveredModel, ModelDescription
from vector.providers.http import Dialect, HttpClient
from vector.providers.pacing import Clock, HttpPolicy
from vector.providers.refusals import Doubtful
from vector.providers.replies import is_count, is_name, vector_length
from vector.providers.served import PROBE, HttpProvider
from vector.providers.transport import Credentials, split_credentials

DEFAULT_URL = "http://localhost:11434"
EMBEDDING_NAMES = re.compile(r"embed|bert|minilm|bge|gte|\be5|paraphrase", re.IGNORECASE)
POOLING = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}  # llama.cpp's enum llama_pooling_type


class OllamaProvider(HttpProvider):
    """A model that an Ollama server holds; OLLAMA_BASE_URL says where, with credentials if it needs them.

    OLLAMA_KEEP_ALIVE says how long the server keeps the model loaded ("10m", or seconds), OLLAMA_OPTIONS what else to
    run it with, as a JSON object ({"num_ctx": 8192}).

    Opening it asks the server for the model's digest: ProviderError when the server does not answer or has not
    pulled the model, SpaceRefused when the digest is not the space's. The server never truncates for us
    (`truncate: false`): a text above its context length is refused, whatever the space's policy. It does cut vectors
    down to `dimensions`, and normalises them always, so a space that does not normalise gets unit vectors too.
    """

    name = "ollama"
    preferred_batch_size = 32
    largest_batch_size = 256
    preferred_concurrency = 2
    refuses_long_texts = True

    def __init__(self, space: Any, policy: HttpPolicy | None = None, clock: Clock | None = None) -> None:
        super().__init__(space, policy, clock)
        self._settings = _settings()
        try:
            self.model_digest = self._digest_by(_listed(self._client))
            if space.model_digest and _bare(space.model_digest) != _bare(self.model_digest or ""):
                raise SpaceRefused(
                    f"Ollama model {self._model!r} has digest {self.model_digest or 'unknown'}, the space was made "
                    f"with {space.model_digest}: restore that model, or add a new space"
                )
        except VectorError:
            self.close()
            raise

    @classmethod
    def open_client(cls, model: str, policy: HttpPolicy, clock: Clock | None = None) -> HttpClient:
        """The client of the server that OLLAMA_BASE_URL names. Raises ConfigurationError when that is no URL."""
        url, basic = split_credentials(os.environ.get("OLLAMA_BASE_URL") or DEFAULT_URL, "OLLAMA_BASE_URL", DEFAULT_URL)
        dialect = Dialect(
            name="Ollama",
            unreachable="is `ollama serve` running, and does OLLAMA_BASE_URL name it?",
            denied="put its credentials in OLLAMA_BASE_URL",
            failed=f"see the log of `ollama serve`, and if the model is damaged `ollama pull {model}`",
            missing=f"has no model {model!r}: run `ollama pull {model}`",
        )
        return HttpClient(dialect, url, Credentials(basic), policy, clock)

    def current_digest(self) -> str | None:
        """The model's digest as the server lists it now; None from a compatible server that lists no models. Asks once,
        after `interrupt` too. Raises ModelMissing when it lists others only."""
        return self._digest_by(_listed(self._client, urgent=True))

    def _digest_by(self, models: list[dict[str, Any]] | None) -> str | None:
        if models is None:
            return None
        wanted = self._model if ":" in self._model.rsplit("/", 1)[-1] else f"{self._model}:latest"
        for model in models:
            if str(model.get("name", "")).lower() == wanted.lower():
                self.served_model = str(model["name"])
                return _digest(model)
        raise ModelMissing(
            f"Ollama at {self.endpoint_url} has no model {self._model!r}: run `ollama pull {self._model}`"
        )

    def describe(self) -> ModelDescription:
        """Digest, context length, pooling and embedding length (`/api/show`), the server's version (`/api/version`)
        and the settings sent; what the server does not tell is None."""
        return replace(
            _shown(self._client, self._model),
            digest=self.model_digest,
            served_model=self.served_model,
            runtime="ollama",
            runtime_version=_version(self._client),
            options=self._settings,
        )

    @classmethod
    def list_models(cls, policy: HttpPolicy | None = None, clock: Clock | None = None) -> list[DiscoveredModel]:
        """The server's embedding models, by name. Each is loaded once, to measure its dimensions.

        Raises ProviderError when the server does not answer.
        """
        client = cls.open_client("NAME", policy or HttpPolicy.from_env(), clock)
        try:
            names = {str(model.get("name", "")): model for model in _listed(client) or [] if model.get("name")}
            return [cls._discovered(client, names[name]) for name in sorted(names) if _embeds(client, names[name])]
        finally:
            client.close()

    @classmethod
    def _discovered(cls, client: HttpClient, model: dict[str, Any]) -> DiscoveredModel:
        full = str(model["name"])
        # The tag is what follows the last colon, unless that is the port of a registry.
        name, _, tag = full.rpartition(":") if ":" in full.rsplit("/", 1)[-1] else (full, "", "")
        shown = _shown(client, full)
        dimensions, problem = None, None
        try:
            body = client.post("/api/embed", {"model": full, "input": [PROBE]}, tries=1)
            dimensions = vector_length(body["embeddings"][0])
            problem = None if dimensions else "its reply holds no vector"
        except (InputRefused, ProviderError) as error:
            problem = str(error.otherwise if isinstance(error, Doubtful) else error)
        except (LookupError, TypeError):
            problem = "its reply holds no vector"
        return DiscoveredModel(
            cls.name, name, tag or None, dimensions, _digest(model), shown.context_length, shown.pooling, problem
        )

    def _send(self, texts: Sequence[str], tries: int | None = None) -> dict[str, Any]:
        payload = {
            "model": self._model,
            "input": list(texts),
            "truncate": False,
            "dimensions": self._dimensions,
            **self._settings,
        }
        return self._post("/api/embed", payload, texts, tries)

    def _told_tokens(self, body: dict[str, Any]) -> Any:
        return body.get("prompt_eval_count")

    def _rows(self, body: dict[str, Any], count: int) -> list[Any]:
        rows = body.get("embeddings")
        if not isinstance(rows, list):
            raise self._doubtful("answered without `embeddings`, a list of vectors", "bad_reply")
        return rows


def _settings() -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if keep_alive := os.environ.get("OLLAMA_KEEP_ALIVE", "").strip():
        # Ollama reads a number as seconds, but a text only with a unit.
        settings["keep_alive"] = int(keep_alive) if re.fullmatch(r"-?\d+", keep_alive) else keep_alive
    if text := os.environ.get("OLLAMA_OPTIONS", "").strip():
        try:
            settings["options"] = json.loads(text)
        except ValueError:
            settings["options"] = None
        if not isinstance(settings["options"], dict):
            raise ConfigurationError('OLLAMA_OPTIONS is not a JSON object such as {"num_ctx": 8192}')
    return settings


def _listed(client: HttpClient, urgent: bool = False) -> list[dict[str, Any]] | None:
    """What `/api/tags` lists; None where there is no such page. Nobody has been kept waiting yet, so few tries."""
    try:
        tries = 1 if urgent else client.policy.tries
        models = client.get("/api/tags", tries=tries, missing={}, urgent=urgent).get("models")
    except Doubtful as error:
        raise error.otherwise from None
    if not isinstance(models, list):
        return None
    return [model for model in models if isinstance(model, dict) and isinstance(model.get("name"), str)]


def _shown(client: HttpClient, model: str) -> ModelDescription:
    info = _tolerated(lambda: client.post("/api/show", {"model": model}, tries=1)).get("model_info")
    # Keys begin with the model's architecture: "nomic-bert.context_length".
    known = {str(key).rsplit(".", 1)[-1]: value for key, value in info.items()} if isinstance(info, dict) else {}
    numbers = {key: value for key, value in known.items() if is_count(value)}
    return ModelDescription(
        context_length=numbers.get("context_length"),
        embedding_length=numbers.get("embedding_length"),
        pooling=POOLING.get(numbers.get("pooling_type", -1)),
    )


def _embeds(client: HttpClient, model: dict[str, Any]) -> bool:
    """Whether it is an embedding model: by `capabilities`, which servers of before 2025 do not tell, else by name."""
    shown = _tolerated(lambda: client.post("/api/show", {"model": model["name"]}, tries=1))
    if isinstance(capabilities := shown.get("capabilities"), list):
        return "embedding" in capabilities
    details = model.get("details")
    family = str(details.get("family", "")) if isinstance(details, dict) else ""
    return bool(EMBEDDING_NAMES.search(f"{model['name']} {family}"))


def _version(client: HttpClient) -> str | None:
    version = _tolerated(lambda: client.get("/api/version", tries=1)).get("version")
    return version if isinstance(version, str) and is_name(version) else None


def _tolerated(asking: Any) -> dict[str, Any]:
    """The answer, or nothing: what is only good to know must not end a run."""
    try:
        return asking()
    except (InputRefused, ProviderError):
        return {}


def _digest(model: dict[str, Any]) -> str | None:
    digest = model.get("digest")
    return f"sha256:{_bare(digest)}" if isinstance(digest, str) and is_name(digest) else None


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:").lower()
