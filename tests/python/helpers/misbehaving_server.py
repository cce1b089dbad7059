"""A model server on loopback that speaks Ollama's and OpenAI's protocols (Azure's too), and misbehaves when told to.

    with MisbehavingServer() as server:
        server.misbehave("rate_limited", times=2, headers={"Retry-After": "1"})
        server.misbehave("poison", when=lambda texts: "bad" in texts)

The faults are the methods of `_Faults`. A fault concerns requests for embeddings only; it applies to those for whose
texts `when` holds, the first `times` of them (None: all). Of several faults that apply, the first one told counts.

`asked` has every text of every such request, with what became of it; `paid` counts the texts for which a good answer
went out. Vectors depend on text and `weights` alone: `vector(text)` says what the right one is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import numpy as np

MODEL = "tiny-embed"


@dataclass
class Asked:
    """One request for embeddings, at a monotonic time; `fault` is the name of the one that it met, None for a good
    answer."""

    texts: list[str]
    fault: str | None
    body: dict[str, Any] = field(repr=False)
    at: float = field(default_factory=time.monotonic, repr=False)


@dataclass
class _Told:
    fault: str
    when: Callable[[Sequence[str]], bool]
    times: float
    options: dict[str, Any]


class MisbehavingServer(ThreadingHTTPServer):
    """See the module. `secret` is what requests must carry, in any of the ways of the three protocols; the server
    repeats what it got when that is wrong. `encodes` and `shortens` say what it does about `encoding_format` and
    `dimensions` in OpenAI's protocol: "yes", "ignores", "refuses", "refuses silently"."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, dimensions: int = 8, secret: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.dimensions, self.secret = dimensions, secret
        self.encodes = self.shortens = "yes"
        self.weights = 1
        self.told_digest: str | None = None  # None: the digest follows the weights
        self.version = "0.12.6"
        self.context_length = 512  # in words, as this model counts tokens
        self.served_model = MODEL
        self.asked: list[Asked] = []
        self.paid: Counter[str] = Counter()
        self.billed: list[
            tuple[list[str], bool]
        ] = []  # texts of each answer with vectors, and whether tokens were told
        self.paths: list[str] = []
        self.released = threading.Event()  # ends what hangs and drips
        self._told: list[_Told] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> MisbehavingServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""

    @property
    def url(self) -> str:
        """For OLLAMA_BASE_URL and AZURE_OPENAI_ENDPOINT; with "/v1" for OPENAI_BASE_URL."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def digest(self) -> str:
        """The model's digest: it follows the weights, unless `told_digest` is set."""
        return self.told_digest or hashlib.sha256(f"weights {self.weights}".encode()).hexdigest()

    def vector(self, text: str, dimensions: int | None = None) -> np.ndarray:
        """The right vector of a text, float32, of norm 1."""
        size = dimensions or self.dimensions
        digest = hashlib.shake_256(f"{self.weights}:{text}".encode()).digest(4 * size)
        numbers = np.frombuffer(digest, "<i4").astype(np.float64) + 0.5
        return (numbers / np.sqrt(np.square(numbers).sum())).astype(np.float32)

    def misbehave(
        self,
        fault: str,
        times: int | None = None,
        when: Callable[[Sequence[str]], bool] = lambda texts: True,
        **options: Any,
    ) -> None:
        """From now on, until it has happened so many times."""
        assert hasattr(_Faults, fault), fault
        with self._lock:
            self._told.append(_Told(fault, when, math.inf if times is None else times, options))

    def behave(self) -> None:
        """Forgets every fault; what hangs goes on hanging."""
        with self._lock:
            self._told = []

    def embed(self, texts: list[str], body: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Notes the request; the name and options of the fault that it meets."""
        with self._lock:
            told = next((told for told in self._told if told.times > 0 and told.when(texts)), None)
            if told:
                told.times -= 1
            self.asked.append(Asked(texts, told and told.fault, body))
        return told and (told.fault, told.options)


class _Faults:
    """What can go wrong: each takes the handler, the texts, and options of its own; it answers, or returns rows for
    the protocol to answer with."""

    @staticmethod
    def poison(handler: _Handler, texts: list[str], status: int = 400, message: str = "invalid input") -> None:
        handler.refuse(status, message)

    @staticmethod
    def too_large(handler: _Handler, texts: list[str]) -> None:
        handler.answer(413, b"<html>Request Entity Too Large</html>")

    @staticmethod
    def rate_limited(
        handler: _Handler, texts: list[str], headers: Any = (), in_seconds: float | None = None, message: str = "slow"
    ) -> None:
        """With the headers given, or a `Retry-After` date so many seconds from now, or with neither."""
        headers = dict(headers)
        if in_seconds is not None:
            headers["Retry-After"] = formatdate(handler.now() + in_seconds, usegmt=True)
        handler.refuse(429, message, headers)

    @staticmethod
    def server_error(handler: _Handler, texts: list[str], message: str = "boom", status: int = 500) -> None:
        handler.refuse(status, message)

    @staticmethod
    def unavailable(handler: _Handler, texts: list[str], headers: Any = ()) -> None:
        handler.refuse(503, "no capacity", dict(headers))

    @staticmethod
    def reset(handler: _Handler, texts: list[str]) -> None:
        # Without lingering, close() sends RST.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    @staticmethod
    def cut(handler: _Handler, texts: list[str]) -> None:
        """Less body than was promised."""
        handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"embeddings": [[')
        handler.close_connection = True

    @staticmethod
    def drip(handler: _Handler, texts: list[str], in_headers: bool = False, seconds: float = 0.02) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X-Slow: " if in_headers else b"Content-Length: 60000\r\n\r\n"))
        with suppress(OSError):
            while not handler.server.released.wait(seconds):
                handler.wfile.write(b" ")
        handler.close_connection = True

    @staticmethod
    def hang(handler: _Handler, texts: list[str]) -> None:
        handler.server.released.wait()
        handler.close_connection = True

    @staticmethod
    def late(handler: _Handler, texts: list[str], seconds: float) -> list[Any]:
        """A good answer, after a while."""
        handler.server.released.wait(seconds)
        handler.server.paid.update(texts)
        return handler.rows(texts)

    @staticmethod
    def not_json(handler: _Handler, texts: list[str]) -> None:
        handler.answer(200, b"<html>We are back soon</html>")

    @staticmethod
    def error_in_200(handler: _Handler, texts: list[str], message: str = "Unexpected endpoint") -> None:
        handler.answer(200, json.dumps({"error": message}).encode())

    @staticmethod
    def short_count(handler: _Handler, texts: list[str]) -> list[Any]:
        return handler.rows(texts)[:-1]

    @staticmethod
    def extra_count(handler: _Handler, texts: list[str]) -> list[Any]:
        return handler.rows([*texts, "one more"])

    @staticmethod
    def shuffled(handler: _Handler, texts: list[str]) -> list[Any]:
        """A good answer in OpenAI's protocol alone, which says which is which."""
        if not handler.path.startswith("/api/"):
            handler.server.paid.update(texts)
        return handler.rows(texts)[::-1]

    @staticmethod
    def without_index(handler: _Handler, texts: list[str]) -> list[Any]:
        """A good answer, in order, of a server that does not count."""
        handler.server.paid.update(texts)
        return [(None, row) for _, row in handler.rows(texts)]

    @staticmethod
    def same_index(handler: _Handler, texts: list[str]) -> list[Any]:
        """A good answer, in order, if one but knew it."""
        handler.server.paid.update(texts)
        return [(0, row) for _, row in handler.rows(texts)]

    @staticmethod
    def indexes(handler: _Handler, texts: list[str], of: Sequence[Any]) -> list[Any]:
        """The right vectors in order, each with the index that is given (None: none)."""
        return [(index, row) for index, (_, row) in zip(of, handler.rows(texts), strict=True)]

    @staticmethod
    def raw(
        handler: _Handler,
        texts: list[str],
        content: bytes = b"",
        status: int = 200,
        headers: Any = (),
        paid: bool = False,
    ) -> None:
        """These bytes, whatever they are."""
        if paid:
            handler.server.paid.update(texts)
        with suppress(OSError):
            handler.answer(status, content, headers)

    @staticmethod
    def endless(
        handler: _Handler, texts: list[str], piece: bytes = b" " * 65536, headers: Any = (), status: int = 200
    ) -> None:
        """A body without an end."""
        handler.wfile.write(
            b"HTTP/1.1 %d Told\r\n" % status + b"".join(b"%s: %s\r\n" % each for each in headers) + b"\r\n"
        )
        with suppress(OSError):
            while not handler.server.released.is_set():
                handler.wfile.write(piece)
        handler.close_connection = True

    @staticmethod
    def changed(
        handler: _Handler,
        texts: list[str],
        order: str = "kept",
        index: str = "told",
        count: int = 0,
        tokens: Any = None,
    ) -> list[Any]:
        """The right vectors, in an order (kept, reversed), with an index (told, shifted, first left out, none, alike,
        twice), so many more or fewer of them, and another count of tokens (None: the true one, ...: none)."""
        handler.tokens = tokens
        rows = handler.rows([*texts, *["one more"] * count])[: len(texts) + count]
        if order == "reversed":
            rows = rows[::-1]
        changes: dict[str, Callable[[int], Any]] = {
            "shifted": lambda number: number + 7,
            "first left out": lambda number: number or None,
            "none": lambda number: None,
            "alike": lambda number: 3,
            "twice": lambda number: number // 2 if len(rows) > 2 else number,
        }
        return [(changes.get(index, int)(number), row) for number, row in rows]

    @staticmethod
    def undecodable(handler: _Handler, texts: list[str]) -> list[Any]:
        """What is asked for as base64 comes as something else; floats come well."""
        handler.undecodable = True
        if handler.as_floats:
            handler.server.paid.update(texts)
        return handler.rows(texts)

    @staticmethod
    def wrong_dimension(handler: _Handler, texts: list[str], dimensions: int = 5) -> list[Any]:
        return [(index, row[:dimensions]) for index, row in handler.rows(texts)]

    @staticmethod
    def bad_vector(handler: _Handler, texts: list[str], of: str, value: Any) -> list[Any]:
        """The text `of` gets a vector of nothing but `value`; of no numbers at all when it is None. The others are
        paid for."""
        handler.server.paid.update(text for text in texts if text != of)
        rows = handler.rows(texts)
        bad = [] if value is None else [value] * handler.server.dimensions
        return [(index, bad if text == of else row) for text, (index, row) in zip(texts, rows, strict=True)]

    @staticmethod
    def other_model(handler: _Handler, texts: list[str]) -> list[Any]:
        handler.server.served_model = "a-fallback"
        return handler.rows(texts)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two packets
    server: MisbehavingServer

    tokens: Any = None  # what is told of them in place of the truth
    undecodable = as_floats = False

    def do_GET(self) -> None:
        path = self._entered()
        if path == "/api/tags":
            self._json({"models": [{"name": f"{MODEL}:latest", "digest": self.server.digest, "details": {}}]})
        elif path == "/api/version":
            self._json({"version": self.server.version})
        elif path == "/v1/models":
            self._json({"data": [{"id": MODEL, "max_model_len": self.server.context_length}, {"id": "chatty"}]})
        elif path:
            self.refuse(404, f"no page {path}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self._entered()
        if path == "/api/show":
            info = {"general.architecture": "tiny", "tiny.context_length": self.server.context_length}
            info |= {"tiny.embedding_length": self.server.dimensions, "tiny.pooling_type": 1}
            self._json({"model_info": info, "capabilities": ["embedding"]})
        elif path == "/api/embed":
            self._embed(body, self._ollama)
        elif path == "/v1/embeddings" or (path or "").startswith("/openai/deployments/"):
            self._embed(body, self._openai)
        elif path:
            self.refuse(404, f"no page {path}")

    def now(self) -> float:
        """This server's clock is an hour fast, and its `Date` says so."""
        return time.time() + 3600

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.now(), usegmt=True)

    def rows(self, texts: Sequence[str]) -> list[tuple[int, list[float]]]:
        """The right vectors, each with its index."""
        return [(index, self.server.vector(text, self._size).tolist()) for index, text in enumerate(texts)]

    def refuse(self, status: int, message: str, headers: Any = ()) -> None:
        """An error as the protocol words it."""
        error = message if self.path.startswith("/api/") else {"message": message, "type": "error", "code": status}
        self.answer(status, json.dumps({"error": error}).encode(), headers)

    def answer(self, status: int, content: bytes, headers: Any = ()) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass

    def _entered(self) -> str | None:
        """The path, for those who may enter."""
        self.server.paths.append(self.path)
        given = self.headers.get("Authorization") or self.headers.get("api-key") or ""
        secret = self.server.secret
        basic = base64.b64encode(f"user:{secret}".encode()).decode()
        if secret and given not in (secret, f"Bearer {secret}", f"Basic {basic}"):
            self.refuse(401, f"Incorrect API key provided: {given}, try {secret}")
            return None
        return urlsplit(self.path).path

    def _json(self, body: Any) -> None:
        self.answer(200, json.dumps(body).encode())

    def _embed(self, body: dict[str, Any], protocol: Callable[[dict[str, Any], list[str], list[Any]], None]) -> None:
        texts = body["input"]
        assert isinstance(texts, list)
        self._size = body.get("dimensions") or self.server.dimensions
        if protocol == self._openai:
            if self.server.shortens == "ignores":
                self._size = self.server.dimensions
            for name, manner in (("encoding_format", self.server.encodes), ("dimensions", self.server.shortens)):
                if name in body and manner.startswith("refuses"):
                    self.refuse(400, "bad request" if "silently" in manner else f"Unrecognized argument: {name}")
                    return
        self.tokens, self.undecodable = None, False
        self.as_floats = body.get("encoding_format") != "base64"
        met = self.server.embed(texts, body)
        if met:
            name, options = met
            rows = getattr(_Faults, name)(self, texts, **options)
            if rows is not None:
                protocol(body, texts, rows)
            return
        long = [text for text in texts if len(text.split()) > self.server.context_length]
        if long and protocol == self._ollama:
            self.refuse(400, "the input length exceeds the context length")
        elif long:
            self.refuse(500, "input is too large to process. increase the physical batch size")
        else:
            self.server.paid.update(texts)
            protocol(body, texts, self.rows(texts))

    def _ollama(self, body: dict[str, Any], texts: list[str], rows: list[Any]) -> None:
        self.server.billed.append((texts, self.tokens is None))
        told = {} if self.tokens is ... else {"prompt_eval_count": self._tokens(texts)}
        self._json({"model": body["model"], "embeddings": [row for _, row in rows], **told})

    def _openai(self, body: dict[str, Any], texts: list[str], rows: list[Any]) -> None:
        data = [{"index": index, "embedding": row} if index is not None else {"embedding": row} for index, row in rows]
        if body.get("encoding_format") == "base64" and self.server.encodes == "yes":
            for item in data:
                item["embedding"] = base64.b64encode(np.array(item["embedding"], "<f4").tobytes()).decode()
                if self.undecodable:
                    item["embedding"] = "?" + item["embedding"][1:]
        self.server.billed.append((texts, self.tokens is None))
        tokens = self._tokens(texts)
        told = {} if self.tokens is ... else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        self._json({"object": "list", "data": data, "model": self.server.served_model, **told})

    def _tokens(self, texts: list[str]) -> Any:
        return sum(len(text.split()) for text in texts) if self.tokens is None else self.tokens
