"""The client of every model server: JSON over HTTP, tried again where that can help, and failures told apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

import requests
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from vector.errors import InputRefused, ProviderError
from vector.providers.pacing import Clock, Counters, HttpPolicy, Limiter, told_wait
from vector.providers.refusals import FOR_GOOD, PATIENT, Doubtful, Failure, Kind, error_message, judge
from vector.providers.transport import Credentials, Deadline, open_session

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
    ProviderError when they are not. Nothing that they raise contains a credential.
    """

    def __init__(
        self, dialect: Dialect, url: str, credentials: Credentials, policy: HttpPolicy, clock: Clock | None = None
    ) -> None:
        self.url, self.policy, self.counters = url, policy, Counters()
        self._dialect, self._credentials = dialect, credentials
        self._clock = clock or Clock()
        self._limiter = Limiter(policy, self._clock, self.counters)
        self._session = open_session(url, credentials)

    def get(self, path: str, tries: int | None = None, missing: Any = None, urgent: bool = False) -> dict[str, Any]:
        """The answer to GET; `missing`, if given, is the answer where there is no such page (404). An `urgent` request
        waits for no pause, and is sent after `interrupt` too."""
        return self._request("GET", path, None, tries, missing, urgent)

    def post(self, path: str, payload: dict[str, Any], tries: int | None = None) -> dict[str, Any]:
        """The answer to POST of a JSON object. `tries` lowers the policy's, but for rate limits."""
        return self._request("POST", path, payload, tries, None)

    def interrupt(self) -> None:
        """Ends the waits of other threads between tries, with ProviderError; a request that was sent completes."""
        self._limiter.stop()

    def close(self) -> None:
        """Closes the connections and ends the waits of other threads, with ProviderError. Safe to call twice."""
        self.interrupt()
        self._session.close()

    def _request(
        self, method: str, path: str, payload: Any, tries: int | None, missing: Any, urgent: bool = False
    ) -> dict[str, Any]:
        body = None
        if payload is not None:
            body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        failures = 0
        while True:
            if not urgent:
                self._limiter.wait_for_turn()
            sent = self._clock.monotonic()
            outcome = self._try(method, path, body)
            if isinstance(outcome, dict):
                self._limiter.succeeded()
                return outcome
            if outcome.kind is Kind.MISSING and missing is not None:
                self._limiter.succeeded()
                return missing
            failures += 1
            self._give_up_or_wait(outcome, failures, sent, tries)
            self.counters.add(retries=1)

    def _try(self, method: str, path: str, body: bytes | None) -> dict[str, Any] | Failure:
        """One request: the JSON object of its reply, or why there is none."""
        self.counters.add(requests=1, bytes_sent=len(body or b""))
        with Deadline(self.policy.total) as deadline:
            try:
                response = self._session.request(
                    method,
                    self.url + path,
                    data=body,
                    headers={"Content-Type": "application/json"} if body else {},
                    timeout=(min(self.policy.connect, self.policy.total), min(self.policy.read, self.policy.total)),
                    allow_redirects=False,
                    stream=True,
                )
                with response:
                    content = response.content
            except (OSError, HTTPError) as error:  # those of requests are OSErrors; a cut may let others through
                # The exception's own text may hold a proxy's credentials or a header: its kind says enough.
                return self._wire_failure(error, deadline.passed)
        if deadline.passed:  # an answer without a stated length looks complete when it is cut
            return self._wire_failure(None, True)
        self.counters.add(bytes_received=len(content))
        return self._outcome(response, content)

    def _wire_failure(self, error: Exception | None, cut: bool) -> Failure:
        if cut:
            return Failure(Kind.TIMEOUT, f"did not finish its answer within {self.policy.total:g} seconds")
        name = type(error).__name__
        cause = error.args[0] if error is not None and error.args else None
        if isinstance(error, requests.exceptions.SSLError):
            return Failure(Kind.FATAL, f"has a certificate or TLS setting that is not accepted ({name})")
        if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError) or isinstance(
            getattr(cause, "reason", None), NewConnectionError
        ):
            return Failure(Kind.UNREACHABLE, f"cannot be reached ({name})")
        if isinstance(error, requests.Timeout) or isinstance(cause, ReadTimeoutError):
            return Failure(Kind.TIMEOUT, f"did not answer within {self.policy.read:g} seconds")
        if isinstance(error, requests.exceptions.ContentDecodingError):
            return Failure(Kind.BAD_REPLY, f"its reply cannot be read ({name})")
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader):
            return Failure(Kind.FATAL, f"cannot be asked ({name})")
        return Failure(Kind.CONNECTION_LOST, f"closed the connection before its answer was complete ({name})")

    def _outcome(self, response: requests.Response, content: bytes) -> dict[str, Any] | Failure:
        status = response.status_code
        if status == 200:
            try:
                body = json.loads(content)
            except (ValueError, RecursionError):
                body = None
            if not isinstance(body, dict):
                return Failure(Kind.BAD_REPLY, "its reply is no JSON object", status)
            if not body.get("error"):
                return body
            status = 400  # LM Studio and some gateways put an error into a good status
        message = self._credentials.scrub(error_message(content))
        return Failure(judge(status, message), message, status, told_wait(response.headers, self._clock.time()))

    def _give_up_or_wait(self, failure: Failure, failures: int, sent: float, tries: int | None) -> None:
        """Returns when the request may be sent again; raises what its failure means when that is no use."""
        kind, policy = failure.kind, self.policy
        if kind in FOR_GOOD:
            self._limiter.succeeded()
            what = "the text as too long" if kind is Kind.TOO_LONG else "the request as too large"
            raise InputRefused(f"{self._dialect.name} refuses {what}: {self._shown(failure)}", reason=kind.value)
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
