"""The client of every model server: JSON over HTTP, tried again where that can help, and failures told apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import requests
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from vector.errors import InputRefused, ProviderError
from vector.providers.pacing import Clock, Counters, HttpPolicy, Limiter, told_wait
from vector.providers.refusals import (
    FOR_GOOD,
    PATIENT,
    BatchRefused,
    Doubtful,
    Failure,
    Kind,
    error_message,
    error_status,
    judge,
    told_batch_limit,
)
from vector.providers.replies import PAGE_LIMIT, Doubled, Undecodable, json_object, read_body
from vector.providers.transport import Credentials, Deadline, open_session, secret_segments, shown_url

SHOWN = 200  # characters of a server's message that are repeated: it may quote the text


@dataclass(frozen=True)
class Dialect:
    """A server's name and what to do about it, for messages. `missing` is a whole clause, the others follow a colon or
    a semicolon."""

    name: str
    unreachable: str
    denied: str
    failed: str
    missing: str


class HttpClient:
    """Requests to one server, from any number of threads, with one limiter for all.

    `get` and `post` give the JSON object that the server answers with. They raise InputRefused when the server says
    that the texts are too long or too many, its subclass Doubtful when the request failed and its texts may be why,
    ProviderError when they are not. Nothing that they raise contains a credential. `url` is for people: of its path
    only common words are shown, since gateways put tokens there.
    """

    def __init__(
        self, dialect: Dialect, url: str, credentials: Credentials, policy: HttpPolicy, clock: Clock | None = None
    ) -> None:
        self.url, self.policy, self.counters = shown_url(url), policy, Counters()
        self._base, self._dialect, self._credentials = url, dialect, credentials
        credentials.hide(secret_segments(url))
        self._clock = clock or Clock()
        self._limiter = Limiter(policy, self._clock, self.counters)
        self._session = open_session(url, credentials)

    def get(self, path: str, tries: int | None = None, missing: Any = None, urgent: bool = False) -> dict[str, Any]:
        """The answer to GET; `missing`, if given, is the answer where there is no such page (404). An `urgent` request
        waits for no pause, and is sent after `interrupt` too."""
        return self._request("GET", path, None, tries, missing, urgent)

    def post(
        self,
        path: str,
        payload: dict[str, Any],
        tries: int | None = None,
        limit: int = PAGE_LIMIT,
        on_unusable: Callable[[], bool] = lambda: True,
    ) -> dict[str, Any]:
        """The answer to POST of a JSON object. `tries` lowers the policy's, but for rate limits. A reply of more than
        `limit` bytes, decoded, is none. `on_unusable` is told of each try that was perhaps paid for and brought
        nothing, and says whether there may be another one."""
        return self._request("POST", path, payload, tries, None, limit=limit, on_unusable=on_unusable)

    def interrupt(self) -> None:
        """Ends the waits of other threads between tries, with ProviderError; a request that was sent completes."""
        self._limiter.stop()

    def close(self) -> None:
        """Closes the connections and ends the waits of other threads, with ProviderError. Safe to call twice."""
        self.interrupt()
        self._session.close()

    def _request(
        self,
        method: str,
        path: str,
        payload: Any,
        tries: int | None,
        missing: Any,
        urgent: bool = False,
        limit: int = PAGE_LIMIT,
        on_unusable: Callable[[], bool] = lambda: True,
    ) -> dict[str, Any]:
        body = None
        if payload is not None:
            body = _encoded(payload)
        failures = 0
        while True:
            if not urgent:
                self._limiter.wait_for_turn()
            sent = self._clock.monotonic()
            outcome = self._try(method, path, body, limit)
            if isinstance(outcome, dict):
                self._limiter.succeeded()
                return outcome
            if outcome.kind is Kind.MISSING and missing is not None:
                self._limiter.succeeded()
                return missing
            failures += 1
            if outcome.perhaps_paid and not on_unusable():
                tries = failures
            self._give_up_or_wait(outcome, failures, sent, tries)
            self.counters.add(retries=1)

    def _try(self, method: str, path: str, body: bytes | None, limit: int) -> dict[str, Any] | Failure:
        """One request: the JSON object of its reply, or why there is none."""
        status = None
        self.counters.add(requests=1, bytes_sent=len(body or b""))
        with Deadline(self.policy.total) as deadline:
            try:
                response = self._session.request(
                    method,
                    self._base + path,
                    data=body,
                    headers={"Accept-Encoding": "gzip, deflate"}
                    | ({"Content-Type": "application/json"} if body else {}),
                    timeout=(min(self.policy.connect, self.policy.total), min(self.policy.read, self.policy.total)),
                    allow_redirects=False,
                    stream=True,
                )
                status = response.status_code
                with response:
                    content, complete = read_body(response.raw, limit)
            except Undecodable as error:
                return Failure(Kind.BAD_REPLY, str(error), status, perhaps_paid=status == 200)
            # Those of requests are OSErrors; a cut may let others through, and a header's bytes a ValueError.
            except (OSError, HTTPError, ValueError) as error:
                # The exception's own text may hold a proxy's credentials or a header: its kind says enough.
                failure = self._wire_failure(error, deadline.passed)
                return replace(failure, perhaps_paid=failure.kind is Kind.TIMEOUT or status == 200)
        if deadline.passed:  # an answer without a stated length looks complete when it is cut
            return replace(self._wire_failure(None, True), perhaps_paid=True)
        self.counters.add(bytes_received=len(content))
        if status == 200 and not complete:
            what = f"its reply is larger than {limit:,} bytes, more than the texts' vectors can be"
            return Failure(Kind.BAD_REPLY, what, status, perhaps_paid=True)
        return self._outcome(response, content)

    def _wire_failure(self, error: Exception | None, cut: bool) -> Failure:
        if cut:
            return Failure(Kind.TIMEOUT, f"did not finish its answer within {self.policy.total:g} seconds")
        name = type(error).__name__
        cause = error.args[0] if error is not None and error.args else None
        if isinstance(error, requests.exceptions.SSLError):
            return Failure(Kind.FATAL, _tls_failure(str(error)))
        if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
            return Failure(
                Kind.FATAL,
                "is to be reached through a SOCKS proxy (ALL_PROXY, HTTPS_PROXY or HTTP_PROXY), which needs PySocks:"
                " pip install 'requests[socks]', or name the host in NO_PROXY",
            )
        if isinstance(error, requests.exceptions.InvalidProxyURL):
            return Failure(Kind.FATAL, "cannot be asked: ALL_PROXY, HTTPS_PROXY or HTTP_PROXY is no URL of a proxy")
        if isinstance(error, requests.exceptions.ProxyError):
            what = "cannot be reached through the proxy of ALL_PROXY, HTTPS_PROXY or HTTP_PROXY"
            return Failure(Kind.UNREACHABLE, f"{what} ({name})")
        if isinstance(error, requests.ConnectTimeout) or isinstance(getattr(cause, "reason", None), NewConnectionError):
            return Failure(Kind.UNREACHABLE, f"cannot be reached ({name})")
        if isinstance(error, requests.Timeout | ReadTimeoutError) or isinstance(cause, ReadTimeoutError):
            return Failure(Kind.TIMEOUT, f"did not answer within {self.policy.read:g} seconds")
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader):
            return Failure(Kind.FATAL, f"cannot be asked ({name})")
        return Failure(Kind.CONNECTION_LOST, f"closed the connection before its answer was complete ({name})")

    def _outcome(self, response: requests.Response, content: bytes) -> dict[str, Any] | Failure:
        status, paid = response.status_code, False
        if 300 <= status < 400:
            return Failure(Kind.FATAL, _redirection(response.headers.get("Location")), status)
        if status == 200:
            try:
                body = json_object(content)
            except Doubled:
                return Failure(Kind.BAD_REPLY, "its reply names a key twice", status, perhaps_paid=True)
            if body is None:
                return Failure(Kind.BAD_REPLY, "its reply is no JSON object", status, perhaps_paid=True)
            if not body.get("error"):
                return body
            # LM Studio and some gateways put an error into a good status.
            status, paid = error_status(body["error"]), bool(body.keys() & {"usage", "prompt_eval_count"})
        message = self._credentials.scrub(error_message(content))
        told = told_wait(response.headers, self._clock.time())
        return Failure(judge(status, message), message, status, told, paid)

    def _give_up_or_wait(self, failure: Failure, failures: int, sent: float, tries: int | None) -> None:
        """Returns when the request may be sent again; raises what its failure means when that is no use."""
        kind, policy = failure.kind, self.policy
        if kind in FOR_GOOD:
            self._limiter.succeeded()
            name, shown = self._dialect.name, self._shown(failure)
            if kind is Kind.TOO_LONG:
                raise InputRefused(f"{name} refuses the text as too long: {shown}", reason=kind.value)
            raise BatchRefused(f"{name} refuses the request as too large: {shown}", told_batch_limit(failure.message))
        if kind in (Kind.REFUSED, Kind.MISSING, Kind.DENIED, Kind.FATAL):
            self._raise(failure)
        broken = self._limiter.failed(sent)
        allowed = policy.patient_tries if kind in PATIENT else policy.tries
        if kind is Kind.RATE_LIMITED:
            self.counters.add(rate_limited=1)
        elif tries is not None:
            allowed = min(allowed, tries)
        if broken:
            raise ProviderError(f"{self._says(failure)}; it has failed {policy.breaker} times in a row")
        if failures >= allowed:
            self._raise(failure)
        if failure.told is not None and failure.told > policy.max_told:
            raise ProviderError(
                f"{self._says(failure)}; it asks to wait {failure.told:.0f} seconds: run again after that"
            )
        seconds = policy.backoff(failures) if failure.told is None else failure.told
        if kind in PATIENT or failure.told is not None:
            self._limiter.pause(seconds)
        else:
            # A single text may be the cause: the other threads need not wait for it.
            self._limiter.sleep(seconds)

    def _raise(self, failure: Failure) -> NoReturn:
        error = ProviderError(self._says(failure))
        if failure.kind in (Kind.MISSING, Kind.DENIED, Kind.FATAL, Kind.UNREACHABLE, Kind.RATE_LIMITED):
            raise error
        text = f"{self._dialect.name} refuses the text: {self._shown(failure)}"
        if failure.kind is not Kind.REFUSED:
            text = f"{self._dialect.name} fails with this text, and with others it does not: {self._shown(failure)}"
        raise Doubtful(text, failure.kind.value, error)

    def _shown(self, failure: Failure) -> str:
        if failure.status in (None, 200):
            return failure.message[:SHOWN]
        return f"HTTP {failure.status}: {failure.message[:SHOWN] or 'no message'}"

    def _says(self, failure: Failure) -> str:
        """A whole sentence about the server, and what to do."""
        dialect, server = self._dialect, f"{self._dialect.name} at {self.url}"
        if failure.kind is Kind.MISSING:
            return f"{server} {dialect.missing} (HTTP 404: {failure.message[:SHOWN] or 'no message'})"
        if failure.kind is Kind.DENIED or failure.status == 403:
            return f"{server} denies access ({self._shown(failure)}): {dialect.denied}"
        if failure.kind is Kind.UNREACHABLE:
            return f"{server} {failure.message}: {dialect.unreachable}"
        if failure.kind is Kind.TIMEOUT and failure.status is None:
            return f"{server} {failure.message}: is it overloaded, or still loading the model?"
        if failure.kind is Kind.BAD_REPLY:
            return f"what answers at {self.url} is not {dialect.name}: {failure.message}"
        if failure.status is None:
            return f"{server} {failure.message}; {dialect.failed}"
        return f"{server} failed with {self._shown(failure)}; {dialect.failed}"


def _encoded(payload: Any) -> bytes:
    """The payload as JSON in UTF-8; what has no UTF-8 form, a lone surrogate in a name that a server told, as ASCII."""
    try:
        return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(payload, separators=(",", ":")).encode()


_TLS = (
    ("CERTIFICATE_VERIFY_FAILED", "hostname", "has a certificate for another host name"),
    ("CERTIFICATE_VERIFY_FAILED", "expired", "has a certificate that has expired"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "",
        "has a certificate that is not trusted here: name its authority's file in REQUESTS_CA_BUNDLE or SSL_CERT_FILE",
    ),
    ("WRONG_VERSION_NUMBER", "", "does not speak TLS: is its URL to begin with http://?"),
)


def _tls_failure(text: str) -> str:
    """What is wrong, by the words of OpenSSL; its own message is not shown."""
    for code, word, meaning in _TLS:
        if code in text and word.lower() in text.lower():
            return meaning
    return "has a certificate or TLS setting that is not accepted (SSLError)"


def _redirection(location: str | None) -> str:
    """Where a redirect leads, of which no token is shown. It is not followed: texts and keys would go there."""
    where = None
    with suppress(ValueError):
        found = re.match(r"https?://\S+", location or "")
        where = found and shown_url(found[0])
    if where is None:
        return "it redirects elsewhere, which is not followed: name the final URL"
    return f"it redirects to {where}, which is not followed: if that is the server, name it"
