"""Embeddings from OpenAI and every server that speaks its protocol: vLLM, TEI, LM Studio, llama.cpp, LiteLLM
(`POST /embeddings`; OpenAI's API reference, "Create embeddings")."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vector.errors import ConfigurationError, InputRefused, ProviderError, SpaceRefused
from vector.providers.base import DiscoveredModel, EmbeddingReply, ModelDescription
from vector.providers.http import Dialect, HttpClient
from vector.providers.pacing import Clock, HttpPolicy
from vector.providers.refusals import Doubtful
from vector.providers.replies import is_count, vector_length
from vector.providers.served import PROBE, HttpProvider
from vector.providers.transport import Credentials, split_credentials

DEFAULT_URL = "https://api.openai.com/v1"
MAX_TEXTS = 2048  # OpenAI's limits of one request; other servers have lower ones of their own, and say so
MAX_TOKENS = 300_000
EMBEDDING_NAMES = re.compile(r"embed|bert|minilm|bge|gte|\be5|jina|arctic|mxbai|paraphrase", re.IGNORECASE)

_FORMAT = re.compile(r"encoding.?format|base64", re.IGNORECASE)
_DIMENSIONS = re.compile(r"dimension|matryoshka", re.IGNORECASE)


class _Undecodable(Doubtful):
    """A vector came as a text that is no base64 of floats."""


class OpenAIProvider(HttpProvider):
    """A model of OpenAI's, or of the server that OPENAI_BASE_URL names (up to and with /v1).

    OPENAI_API_KEY is needed for OpenAI itself and sent to any server if it is set. OPENAI_MAX_REQUEST_TOKENS lowers
    the tokens of one request (estimated: a token for three bytes). Nothing is sent before the first text is embedded.

    Vectors are asked for as base64 and of the space's dimensions; where the server takes neither, plainly. Models
    have no digest in this protocol. What the server calls the model that answered is `served_model`; SpaceRefused
    when that changes on the way, since a gateway may fall back to another model.
    """

    name = "openai"
    preferred_batch_size = 128
    preferred_concurrency = 4
    largest_batch_size = 512
    max_batch_texts = MAX_TEXTS

    def __init__(self, space: Any, policy: HttpPolicy | None = None, clock: Clock | None = None) -> None:
        super().__init__(space, policy, clock)
        self.max_batch_tokens = _max_tokens()
        self._base64 = self._sends_dimensions = True
        self._proven = False  # a reply has come, so the server takes requests in this manner
        # Replies that do not tell whose vector is whose, by what they do instead; and whether canaries look at them.
        self._trusted: set[str] = set()
        self._proving = False
        self._looked_at = 0

    @classmethod
    def batch_limits(cls, batch_size: int | None = None) -> tuple[int, int | None]:
        """Texts, and estimated tokens, of the first batches. Raises ConfigurationError on a bad
        OPENAI_MAX_REQUEST_TOKENS."""
        return super().batch_limits(batch_size)[0], _max_tokens()

    @classmethod
    def open_client(cls, model: str, policy: HttpPolicy, clock: Clock | None = None) -> HttpClient:
        """The client of the server that OPENAI_BASE_URL names. Raises ConfigurationError when that is no URL, and
        when OpenAI's own server is meant and there is no OPENAI_API_KEY."""
        url, basic = split_credentials(os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL, "OPENAI_BASE_URL", DEFAULT_URL)
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key and urlsplit(url).hostname == "api.openai.com":
            raise ConfigurationError("OPENAI_API_KEY is not set; OpenAI asks for one (another server: OPENAI_BASE_URL)")
        dialect = Dialect(
            name="the OpenAI server",
            unreachable="is it running, and does OPENAI_BASE_URL name it?",
            denied="is OPENAI_API_KEY right, and may it use this model?",
            failed="see the server's log",
            missing=f"has no model {model!r}, or OPENAI_BASE_URL does not end where it should (as a rule in /v1)",
        )
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return HttpClient(dialect, url, Credentials(basic, **headers), policy, clock)

    def describe(self) -> ModelDescription:
        """The model that answered, and the context length where `/models` tells it (vLLM, llama.cpp)."""
        listed = next((model for model in _listed(self._client) if model.get("id") == self._model), {})
        return replace(super().describe(), runtime=self.name, **_lengths(listed))

    @classmethod
    def list_models(cls, policy: HttpPolicy | None = None, clock: Clock | None = None) -> list[DiscoveredModel]:
        """The server's models whose names are of embedding models (all, if it has only one), by name. Each embeds one
        word, to measure its dimensions, which OpenAI charges for as for any text.

        Raises ProviderError when the server does not answer.
        """
        client = cls.open_client("NAME", policy or HttpPolicy.from_env(), clock)
        try:
            listed = {str(model["id"]): model for model in _listed(client, tolerant=False) if model.get("id")}
            names = [name for name in sorted(listed) if len(listed) == 1 or EMBEDDING_NAMES.search(name)]
            return [cls._discovered(client, listed[name], name) for name in names]
        finally:
            client.close()

    @classmethod
    def _discovered(cls, client: HttpClient, model: dict[str, Any], name: str) -> DiscoveredModel:
        dimensions, problem = None, None
        try:
            body = client.post("/embeddings", {"model": name, "input": [PROBE]}, tries=1)
            dimensions = vector_length(body["data"][0]["embedding"])
            problem = None if dimensions else "its reply holds no vector"
        except (InputRefused, ProviderError) as error:
            problem = str(error.otherwise if isinstance(error, Doubtful) else error)
        except (LookupError, TypeError):
            problem = "its reply holds no vector"
        context_length = _lengths(model).get("context_length")
        return DiscoveredModel(cls.name, name, None, dimensions, context_length=context_length, problem=problem)

    def _path(self) -> str:
        return "/embeddings"

    def _named(self) -> dict[str, Any]:
        """What says which model is meant, where the path does not."""
        return {"model": self._model}

    def _manner(self) -> tuple[bool, bool]:
        return self._base64, self._sends_dimensions

    @contextmanager
    def proving_order(self) -> Iterator[None]:
        """As of every provider; meant for one thread, before the others begin. Nothing is known of the order of more
        texts than were looked at together: a server may split a request, and answer as its parts are done. So there are
        no larger requests from then on."""
        self._proving = True
        try:
            yield
        finally:
            self._proving = False
        if self.untold_order:
            self._trusted.add(self.untold_order)
            self.max_batch_texts = min(self._looked_at, MAX_TEXTS)

    def _asked(self, texts: Sequence[str], tries: int | None = None) -> EmbeddingReply:
        as_base64 = self._base64
        try:
            return super()._asked(texts, tries)
        except _Undecodable:
            self._base64 = False
            if not as_base64 or not (self.may_repeat is None or self.may_repeat(texts)):
                raise
            return super()._asked(texts, tries)

    def _send(self, texts: Sequence[str], tries: int | None = None) -> dict[str, Any]:
        manner = self._manner()
        payload = {**self._named(), "input": list(texts)}
        if self._base64:
            payload["encoding_format"] = "base64"
        if self._sends_dimensions:
            payload["dimensions"] = self._dimensions
        try:
            return self._post(self._path(), payload, texts, tries)
        except Doubtful as error:
            self._ask_plainer(payload, str(error))
            if self._manner() != manner:
                return self._send(texts, tries)
            raise

    def _ask_plainer(self, payload: dict[str, Any], message: str) -> None:
        """Leaves out, from now on, what the server's message finds fault with; nothing once a reply has come."""
        if not self._proven:
            self._base64 = self._base64 and not _FORMAT.search(message)
            self._sends_dimensions = self._sends_dimensions and not _DIMENSIONS.search(message)

    def _blame(self, error: Doubtful) -> None:
        """As of every provider; but a server that never answered yet is tried in the plainest manner as well, as it
        may refuse what it does not know without a word of it."""
        try:
            super()._blame(error)
        except ProviderError:
            if self._proven or not any(self._manner()):
                raise
            manner, (self._base64, self._sends_dimensions) = self._manner(), (False, False)
            try:
                super()._blame(error)
            except ProviderError:
                self._base64, self._sends_dimensions = manner
                raise

    def _told_tokens(self, body: dict[str, Any]) -> Any:
        usage = body.get("usage")
        if not isinstance(usage, dict):
            return None
        # A text of digits, as some gateways write it, is no number; the total is that of the prompt, where that lacks.
        told = usage.get("prompt_tokens")
        return usage.get("total_tokens") if told is None else told

    def _rows(self, body: dict[str, Any], count: int) -> list[Any]:
        data = body.get("data")
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise self._doubtful("answered without `data`, a list of embeddings", "bad_reply")
        if len(data) != count:
            raise self._doubtful(f"answered {count} texts with {len(data)} vectors", "bad_reply")
        rows = [self._row(item.get("embedding")) for item in self._in_order(data)]
        self._remember(body.get("model"))
        self._proven = True
        return rows

    def _in_order(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The items in the order of the texts, by their `index`.

        Servers that are compatible by their own account leave it out where it is 0, count from 1, go on counting from
        one request to the next, or write the same for every text, or none. Of the last two kinds only the canaries can
        tell in which order they answer.
        """
        if len(data) < 2:
            return data
        indexes = [self._place(item.get("index")) for item in data]
        known = sorted(index for index in indexes if index is not None)
        if len(known) == len(data) - 1 and known == list(range(1, len(data))):
            indexes, known = [index or 0 for index in indexes], list(range(len(data)))
        if len(known) == len(data) and known == list(range(known[0], known[0] + len(data))):
            order = dict(zip(indexes, data, strict=True))
            return [order[index] for index in known]
        if known and (len(known) < len(data) or known[0] != known[-1]):
            raise self._doubtful("answered with an `index` twice, or with none of a text's", "bad_reply")
        what = "the same `index` for every text" if known else "no `index`"
        if not self._proving and what not in self._trusted:
            raise ProviderError(
                f"{self.name} model {self._model!r} at {self.endpoint_url} answers several texts with {what}, and no"
                " canaries have shown that it keeps their order: mend the server, or send one text a request"
                " (--batch-size 1)"
            )
        self.untold_order = what
        if self._proving:
            self._looked_at = max(self._looked_at, len(data))
        return data

    def _place(self, index: Any) -> int | None:
        """An `index` as a number; None where there is none. Servers whose language has one kind of number, or that pass
        on what they were told, write 1.0 or "1". Raises Doubtful for anything else: it may say another order."""
        if index is None or type(index) is int:
            return index
        if type(index) is float and index.is_integer():
            return int(index)
        if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 10:
            return int(index)
        raise self._doubtful("answered with an `index` that is no whole number", "bad_reply")

    def _row(self, embedding: Any) -> Any:
        if not isinstance(embedding, str):
            self._base64 = False  # it answers lists whatever it is asked for
            return embedding
        try:
            row = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        except ValueError:
            row = None
        # Floats of 16 or 64 bits look like half or twice as many.
        if row is None or (row.size and row.size in (self._dimensions / 2, self._dimensions * 2)):
            doubtful = self._doubtful("answered with a vector that is no base64 of floats", "bad_reply")
            raise _Undecodable(str(doubtful), doubtful.reason, doubtful.otherwise)
        return row

    def _remember(self, model: Any) -> None:
        if not isinstance(model, str) or not model:
            return
        model = model[:200].encode("utf-8", "replace").decode()
        if self.served_model is not None and model != self.served_model:
            raise SpaceRefused(
                f"the server at {self.endpoint_url} answered as model {self.served_model!r} first and as {model!r} "
                "now: their vectors do not mix; let it serve one model under this name, or add a new space"
            )
        self.served_model = model


def _max_tokens() -> int:
    text = os.environ.get("OPENAI_MAX_REQUEST_TOKENS", "").strip() or str(MAX_TOKENS)
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"OPENAI_MAX_REQUEST_TOKENS is {text!r}, it must be a whole number of at least 1")
    return int(text)


def _listed(client: HttpClient, tolerant: bool = True) -> list[dict[str, Any]]:
    try:
        models = client.get("/models", tries=1 if tolerant else client.policy.tries, missing={}).get("data")
    except (InputRefused, ProviderError) as error:
        if tolerant:
            return []
        raise (error.otherwise if isinstance(error, Doubtful) else error) from None
    if not isinstance(models, list):
        return []
    return [model for model in models if isinstance(model, dict) and isinstance(model.get("id"), str)]


def _lengths(model: dict[str, Any]) -> dict[str, Any]:
    """Context and embedding length of an entry of `/models`: `max_model_len` (vLLM), `meta` (llama.cpp)."""
    given = model.get("meta")
    meta = given if isinstance(given, dict) else {}
    found = {
        "context_length": model.get("max_model_len") or meta.get("n_ctx_train"),
        "embedding_length": meta.get("n_embd"),
    }
    return {name: value for name, value in found.items() if is_count(value)}
