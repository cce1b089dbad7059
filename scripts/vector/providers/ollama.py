"""Embeddings from an Ollama server, over its own protocol (`POST /api/embed`)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import requests

from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused
from vector.providers.base import EmbeddingReply, PreprocessPolicy, check_reply, unit_length, utf8

DEFAULT_URL = "http://localhost:11434"
TIMEOUT = (10, 120)  # seconds to connect, seconds to wait for the next byte

# Ollama words its refusal differently by version, and has used status 400 and 500 for it.
TOO_LONG = re.compile(r"(input|context).{0,40}length|too (large|long)|exceeds.{0,30}context", re.IGNORECASE)
# Ollama also answers 400 when its own model process died, or when the model cannot embed: no fault of the text.
NOT_THE_TEXT = re.compile(
    r"does not support|invalid model|\bEOF\b|connection|context canceled|do embedding request|runner", re.IGNORECASE
)


def split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """A server's base URL without credentials, query and trailing slash, and its (user, password) if it had them.
    Raises ConfigurationError, without repeating it, when it is not an http or https URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError(f"OLLAMA_BASE_URL is not a URL such as {DEFAULT_URL}")
    host = f"[{host}]" if ":" in host else host
    clean = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
    if parts.username is None:
        return clean, None
    return clean, (unquote(parts.username), unquote(parts.password or ""))


class OllamaProvider:
    """A model that an Ollama server holds; OLLAMA_BASE_URL says where, with credentials if it needs them.

    Opening it asks the server for the model's digest: ProviderError when the server does not answer or has not
    pulled the model, SpaceRefused when the digest is not the space's. The server never truncates for us
    (`truncate: false`): a text above its context length is refused, whatever the space's policy. It does cut vectors
    down to `dimensions`, and normalises them always, so a space that does not normalise gets unit vectors too.
    """

    name = "ollama"
    preferred_batch_size = 32
    preferred_concurrency = 2

    def __init__(self, space: Any) -> None:
        PreprocessPolicy.from_dict(space.preprocess_policy)
        self._dimensions = space.dimensions
        self._normalize = space.normalize_flag
        self._model = f"{space.model_name}:{space.model_tag}" if space.model_tag else space.model_name
        self.endpoint_url, credentials = split_credentials(os.environ.get("OLLAMA_BASE_URL") or DEFAULT_URL)
        self._session = requests.Session()
        if credentials:
            self._session.auth = credentials
        if urlsplit(self.endpoint_url).hostname in ("localhost", "127.0.0.1", "::1"):
            self._session.trust_env = False  # a proxy cannot reach this machine's loopback address
        self.model_digest = self._find_digest()
        if space.model_digest and _bare(space.model_digest) != _bare(self.model_digest or ""):
            raise SpaceRefused(
                f"Ollama model {self._model!r} has digest {self.model_digest or 'unknown'}, the space was made with "
                f"{space.model_digest}: restore that model, or add a new space"
            )

    def embed(self, texts: Sequence[str]) -> EmbeddingReply:
        """The vectors of texts in one request. Token counts are known only of a text sent alone: the server counts
        a request's tokens together. Raises InputRefused when it refuses the request for what it contains (of several
        texts it does not say which), ProviderError otherwise."""
        if not texts:
            return EmbeddingReply(np.empty((0, self._dimensions), dtype=np.float32), [], [])
        for text in texts:
            utf8(text)
        body = self._request(
            "POST",
            "/api/embed",
            {"model": self._model, "input": list(texts), "truncate": False, "dimensions": self._dimensions},
        )
        count = body.get("prompt_eval_count") if len(texts) == 1 else None
        tokens: list[int | None] = [count if isinstance(count, int) else None] * len(texts)
        reply = EmbeddingReply(_as_vectors(body.get("embeddings")), tokens, list(tokens))
        check_reply(reply, len(texts), self._dimensions)
        if not self._normalize:
            return reply
        return EmbeddingReply(unit_length(reply.vectors), reply.input_tokens, reply.used_tokens)

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def _find_digest(self) -> str | None:
        """The model's digest as the server lists it; None from a compatible server that lists no models."""
        body = self._request("GET", "/api/tags", None, missing_is_empty=True)
        models = body.get("models")
        if not isinstance(models, list):
            return None
        wanted = self._model if ":" in self._model.rsplit("/", 1)[-1] else f"{self._model}:latest"
        for model in models:
            if isinstance(model, dict) and str(model.get("name", "")).lower() == wanted.lower():
                digest = model.get("digest")
                return f"sha256:{_bare(digest)}" if isinstance(digest, str) and digest else None
        raise self._not_pulled()

    def _request(self, method: str, path: str, payload: Any, missing_is_empty: bool = False) -> dict[str, Any]:
        """The JSON object that the server answers with."""
        try:
            response = self._session.request(
                method, self.endpoint_url + path, json=payload, timeout=TIMEOUT, allow_redirects=False
            )
        except requests.Timeout:
            raise ProviderError(
                f"Ollama at {self.endpoint_url} did not answer within {TIMEOUT[1]} seconds: "
                "is it overloaded, or still loading the model?"
            ) from None
        except requests.RequestException as error:
            # The exception's own text may hold a proxy's credentials; its kind says enough.
            raise ProviderError(
                f"Ollama at {self.endpoint_url} cannot be reached ({type(error).__name__}): is `ollama serve` "
                "running, and does OLLAMA_BASE_URL name it?"
            ) from None
        if response.status_code != 200:
            if response.status_code == 404 and missing_is_empty:
                return {}
            raise self._refusal(response)
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise ProviderError(f"what answers at {self.endpoint_url}{path} is not Ollama: its reply is no JSON object")
        return body

    def _refusal(self, response: requests.Response) -> Exception:
        """What a reply other than 200 means. Its message is trusted before its status."""
        status, message = response.status_code, _error_message(response)
        if status == 404:
            return self._not_pulled()
        if status == 413 or (status in (400, 500) and TOO_LONG.search(message)):
            return InputRefused(f"Ollama refuses the text as too long: {message}", reason="too_long")
        if status == 400 and not NOT_THE_TEXT.search(message):
            return InputRefused(f"Ollama refuses the text: {message}")
        if status in (401, 403):
            return ProviderError(
                f"Ollama at {self.endpoint_url} denies access (HTTP {status}): put its credentials in OLLAMA_BASE_URL"
            )
        return ProviderError(
            f"Ollama at {self.endpoint_url} failed with HTTP {status}: {message}; see the log of `ollama serve`, "
            f"and if the model is damaged `ollama pull {self._model}`"
        )

    def _not_pulled(self) -> ProviderError:
        return ProviderError(
            f"Ollama at {self.endpoint_url} has no model {self._model!r}: run `ollama pull {self._model}`"
        )


def _as_vectors(embeddings: Any) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # too large for float32 is infinity, which check_reply refuses
            return np.array(embeddings, dtype=np.float32)
    except (TypeError, ValueError):
        raise ProviderError("the reply's `embeddings` is not a list of equally long lists of numbers") from None


def _error_message(response: requests.Response) -> str:
    """The server's own words, on one line; short, as they may quote the text."""
    try:
        message = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        message = response.text
    return " ".join(str(message).split())[:200] or "no message"


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:").lower()
