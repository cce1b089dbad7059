"""The wire below a model server's client: where it is, who we are, and a deadline that nothing outlives."""

from __future__ import annotations

import base64
import ipaddress
import logging
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter

from vector.errors import ConfigurationError

logger = logging.getLogger(__name__)

# Those that requests reads, in its order, and OpenSSL's own.
CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
# What the path of a server's URL may show. Anything else may be a token.
PLAIN_SEGMENTS = frozenset(
    "ai api compatible compatible-mode compat-mode embed embeddings engines gateway inference llm models ollama openai"
    " proxy serving-endpoints".split()
)


def split_credentials(url: str, variable: str, example: str) -> tuple[str, tuple[str, str] | None]:
    """A server's base URL without credentials, query and trailing slash, and its (user, password) if it had them.
    Raises ConfigurationError, naming the variable without repeating its value, when it is no http or https URL."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError(f"{variable} is not a URL such as {example}")
    host = f"[{host}]" if ":" in host else host
    clean = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
    if parts.username is None:
        return clean, None
    return clean, (unquote(parts.username), unquote(parts.password or ""))


def is_loopback(host: str | None) -> bool:
    """Whether a host name is of this machine's own network."""
    name = (host or "").rstrip(".").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def shown_url(url: str) -> str:
    """A URL as it may be shown and stored: without user, query and fragment, and of its path the common words only.
    Raises ValueError when it is none."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("there is no host in it")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    path = "/".join("***" if _may_be_secret(segment) else segment for segment in parts.path.split("/"))
    with suppress(ValueError):
        host = f"{host}:{parts.port}" if parts.port else host
    return f"{parts.scheme}://{host}{path}"


def secret_segments(url: str) -> list[str]:
    """What `shown_url` leaves out of the path, as it is written there and decoded."""
    segments = [segment for segment in urlsplit(url).path.split("/") if _may_be_secret(segment)]
    return [form for segment in segments for form in (segment, unquote(segment))]


def _may_be_secret(segment: str) -> bool:
    return bool(segment) and segment.lower() not in PLAIN_SEGMENTS and not re.fullmatch(r"v\d{1,2}", segment)


class Credentials(requests.auth.AuthBase):
    """Headers that say who we are: `headers` as they are, or basic authentication. Shows nothing of them.

    An auth object rather than session headers, because requests lets a ~/.netrc entry overrule the latter.
    """

    def __init__(self, basic: tuple[str, str] | None = None, **headers: str) -> None:
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._secrets = set()
        if basic:
            token = base64.b64encode(":".join(basic).encode()).decode()
            self._headers.setdefault("Authorization", f"Basic {token}")
            self._secrets |= {token, basic[1], quote(basic[1], safe="")}
        for value in headers.values():
            self._secrets.add(value.removeprefix("Bearer "))
        self._secrets.discard("")
        if any(not value.isprintable() or not value.isascii() for value in self._headers.values()):
            # requests would say so too, and quote the value.
            raise ConfigurationError("an API key or token in the environment has characters that no header may have")

    def __call__(self, request: Any) -> Any:
        request.headers.update(self._headers)
        return request

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self._headers)})"

    def __bool__(self) -> bool:
        return bool(self._headers)

    def hide(self, secrets: Iterable[str]) -> None:
        """These are secrets, too."""
        self._secrets |= {secret for secret in secrets if secret}

    def scrub(self, message: str) -> str:
        """The message without the secrets, should a server have repeated them."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            message = message.replace(secret, "***")
        return message


def open_session(url: str, credentials: Credentials) -> requests.Session:
    """A session for the server at `url`, for many threads, whose requests `Deadline` can cut. Warns when a key would
    be sent where others can read it. Raises ConfigurationError when the file of certificates that the environment names
    is none."""
    session = _Session()
    session.auth = credentials
    loopback = is_loopback(urlsplit(url).hostname)
    secure = urlsplit(url).scheme == "https"
    if secure and (bundle := _ca_bundle()):
        session.verify = bundle
    if loopback:
        session.trust_env = False  # a proxy cannot reach this machine's loopback address
    elif credentials and not secure:
        logger.warning(
            "the key or password for %s is sent over http://, where anyone on the way can read it: use https://",
            shown_url(url),
        )
    for scheme in ("http://", "https://"):
        session.mount(scheme, _CuttableAdapter(pool_maxsize=64))
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, whatever the reply says: to tell where it leads, requests would read all of its body, decoded, however
        large it is; and no redirect is followed."""
        return None


def _ca_bundle() -> str | None:
    """The file or folder of certificates that the environment names for every server; None for the usual ones."""
    variable = next((name for name in CA_BUNDLES if os.environ.get(name)), None)
    if variable is None:
        return None
    path = Path(os.environ[variable])
    if not path.exists():
        raise ConfigurationError(f"{variable} names {path}, which does not exist: correct it, or unset it")
    try:
        if path.is_file():
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"{variable} names {path}, which cannot be read as certificates (PEM): {type(error).__name__}"
        ) from None
    return str(path)


class Deadline:
    """Cuts the connection that this thread uses when the time is up.

    Timeouts of sockets count from the last byte, so an answer that drips, in its headers or its body, outlives them
    all. `with Deadline(seconds) as deadline:` encloses a whole request; `deadline.passed` says that it was cut.
    """

    _of_thread = threading.local()

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        Deadline._of_thread.current = self
        self._timer.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._timer.cancel()
        Deadline._of_thread.current = None

    @classmethod
    def watch(cls, used: socket.socket | None) -> None:
        """This thread waits for an answer on that socket now."""
        current = getattr(cls._of_thread, "current", None)
        if current is not None:
            current._socket = used
            if current.passed:
                current._cut()

    def _cut(self) -> None:
        self.passed = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _CuttableAdapter(HTTPAdapter):
    """Makes connections that tell the Deadline which socket they wait on; urllib3 has no other way to learn it before
    the answer's headers are in."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool of requests' own adapter, whose connections are watched."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _Watched):
            pool.ConnectionCls = type("_WatchedConnection", (_Watched, pool.ConnectionCls), {})
        return pool


class _Watched:
    def getresponse(self, *args: Any, **kwargs: Any) -> Any:
        """The connection's own answer; the Deadline of this thread knows meanwhile which socket it waits on."""
        Deadline.watch(self.sock)  # type: ignore[attr-defined]
        return super().getresponse(*args, **kwargs)  # type: ignore[misc]
