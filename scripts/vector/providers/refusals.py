"""What a model server's refusal means. Its words are believed before its status.

Servers use one status for many things: llama.cpp answers 500 and Ollama has answered 400 or 500 to a text that is too
long; Ollama answers 400 when its own model process died; OpenAI answers 429 to an empty purse, and to a request that
no waiting would make small enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from vector.errors import InputRefused, ProviderError


class Kind(Enum):
    """What to do about a failure: the value is the reason that a quarantined text would get."""

    TOO_LONG = "too_long"  # the text, or one of them, for good
    BATCH_TOO_LARGE = "batch_too_large"  # too many texts or tokens in one request, for good
    REFUSED = "refused"  # the request, for good, as far as the server says
    SERVER_ERROR = "server_error"  # try again; if it persists, the request may be the cause
    TIMEOUT = "timeout"  # likewise
    CONNECTION_LOST = "connection_lost"  # likewise
    BAD_REPLY = "bad_reply"  # likewise
    UNAVAILABLE = "unavailable"  # try again, with patience
    UNREACHABLE = "unreachable"  # likewise, and no request is the cause
    RATE_LIMITED = "rate_limited"  # likewise, after the time told
    MISSING = "missing"  # the model, or the page, is not there
    DENIED = "denied"  # who we are is wrong
    FATAL = "fatal"  # nothing will help


PATIENT = (Kind.UNAVAILABLE, Kind.UNREACHABLE, Kind.RATE_LIMITED)
FOR_GOOD = (Kind.TOO_LONG, Kind.BATCH_TOO_LARGE)

_ITEMS = (
    r"(?:inputs?(?: items| texts| strings)?|items|texts|sentences|strings|documents|elements|embeddings|entries"
    r"|instances?(?:\(s\))?)"
)
# A number of something else than texts: the length of one, or the size of a body.
_COUNT = r"(\d{1,6})\b(?! *(?:tokens?|char|bytes|[kmg](?:i?b|bytes)\b))"
_BATCH = re.compile(
    r"array (is )?too (long|large)|maximum length 2048|batch.?size.{0,60}(>|exceed|\bmax(imum)?\b|too large)"
    r"|tokens (per|in) (request|the batch|(a |submitted )?batch)"
    rf"|too many {_ITEMS}|max(imum)?.{{0,20}}(batch|inputs)\b|request too large for|payload size exceeds"
    rf"|batch.{{0,60}}(larger|greater|more|bigger) than|(at most|no more than|up to|maximum of) \d+ {_ITEMS}"
    rf"|batch (is )?too (large|big)|{_ITEMS} (per|in a|in one) (request|batch|call)|limit of \d+ {_ITEMS}"
    rf"|in one batch|batch.?size limit|{_ITEMS}.{{0,40}}(at most|exceeds? the (maximum|limit) of) {_COUNT}"
    rf"|(?<!length )should not be (larger|greater|more) than {_COUNT}"
    rf"|(not|cannot|never) (exceed|(have|contain|be) more than) \d+ {_ITEMS}|max(imum)? number of {_ITEMS}"
    rf"|{_ITEMS} (is|are) allowed per|inputs? (array|list)\b.{{0,40}}(exceed|max)",
    re.IGNORECASE,
)
# The number of texts that such a message allows; of tokens, characters and bytes it says nothing here.
_TOLD_LIMITS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:larger|greater|more|bigger) than {_COUNT}",
        r"(?:at most|no more than|up to|maximum of|limit of|maximum:?|limit:?|exceed) (\d{1,6})"
        rf" (?:{_ITEMS}|requests can be|per (?:request|batch))",
        rf"{_ITEMS}.{{0,40}}(?:at most|(?:maximum|limit) of) {_COUNT}",
        r"batch.?size limit is (\d{1,6})\b",
        r"max(?:imum)? (?:allowed )?batch size(?: is| of|:)? (\d{1,6})\b",
        r"max_client_batch_size(?: is| of|:)? (\d{1,6})\b",
        rf"batch.?size.{{0,60}}(?:>|\bmax(?:imum)?(?: is|:)?) {_COUNT}",
        r"maximum length (?:of )?(\d{1,6})\b",
        rf"max(?:imum)? number of {_ITEMS}(?: is|:)? {_COUNT}",
        rf"(\d{{1,6}}) {_ITEMS} (?:is|are) allowed per",
        rf"inputs? (?:array|list)\b.{{0,40}}exceed {_COUNT}",
    )
]
_TOO_LONG = re.compile(
    r"(input|context|prompt|sequence).{0,40}length|too (large|long)|exceeds.{0,40}context|maximum model length"
    r"|((less|fewer|more|longer|larger) than|at most).{0,30}(tokens|characters)"
    r"|exceeds?.{0,30}(max|limit).{0,20}(tokens|characters)",
    re.IGNORECASE,
)
# Said with status 400 or 500 when the server's own parts failed each other: no fault of the text.
_INNER_FAILURE = re.compile(
    r"\bEOF\b|connection (refused|reset|closed)|context canceled|do embedding request|runner|loading model"
    r"|try again|overloaded|\bbusy\b|timed? ?out|temporarily",
    re.IGNORECASE,
)
_RATE = re.compile(r"rate.?limit|too many requests|throttl", re.IGNORECASE)
_NO_MONEY = re.compile(r"insufficient_quota|exceeded your current quota|billing|payment", re.IGNORECASE)
_BAD_KEY = re.compile(r"(invalid|incorrect|missing|expired).{0,20}(api.?key|token|credential)", re.IGNORECASE)


@dataclass(frozen=True)
class Failure:
    """A try that brought nothing. `message` is the server's, or ours of the wire; `told` the seconds to wait that the
    server asked for; `status` that of HTTP, None where there was no answer. `perhaps_paid` says that the server may
    have done the work: it answered as if, or was at it when the wait was over."""

    kind: Kind
    message: str
    status: int | None = None
    told: float | None = None
    perhaps_paid: bool = False


class BatchRefused(InputRefused):
    """Too many texts in one request. `largest` is the number that the server allows, where it says so."""

    def __init__(self, message: str, largest: int | None):
        super().__init__(message, Kind.BATCH_TOO_LARGE.value)
        self.largest = largest


class Doubtful(InputRefused):
    """The request failed for good, or too often, and nothing proves that its texts are why. Whoever catches it finds
    out, and raises `otherwise` if they are not."""

    def __init__(self, message: str, reason: str, otherwise: ProviderError):
        super().__init__(message, reason)
        self.otherwise = otherwise


def judge(status: int, message: str) -> Kind:
    """What a reply other than a good one means, from its message and its status."""
    if status in (400, 403, 413, 422, 429) or status >= 500:
        if _BATCH.search(message):
            return Kind.BATCH_TOO_LARGE
        if status == 413:
            return Kind.BATCH_TOO_LARGE
        if status != 429 and _TOO_LONG.search(message):
            return Kind.TOO_LONG
    if _NO_MONEY.search(message) and status in (402, 403, 429):
        return Kind.FATAL
    if status == 429 or (status != 503 and _RATE.search(message) and status >= 400):
        return Kind.RATE_LIMITED
    if status == 401 or (status in (400, 403) and _BAD_KEY.search(message)):
        return Kind.DENIED
    if status == 404:
        return Kind.MISSING
    if status in (408, 504):
        return Kind.TIMEOUT
    if status in (425, 503, 529):
        return Kind.UNAVAILABLE
    if status >= 500 or (status == 400 and _INNER_FAILURE.search(message)):
        return Kind.SERVER_ERROR
    # 403 too: a firewall before the server may dislike one text (it looks like an attack) and no other.
    return Kind.REFUSED if status >= 400 else Kind.FATAL


def told_batch_limit(message: str) -> int | None:
    """The number of texts that a refusal says a request may have; None where it says none."""
    found = next(filter(None, (limit.search(message) for limit in _TOLD_LIMITS)), None)
    return (int(found[1]) or None) if found else None


def error_message(content: bytes) -> str:
    """The server's own words on one line, however it wraps them: {"error": "..."} (Ollama, TEI), {"error":
    {"message": "...", "code": "..."}} (OpenAI, llama.cpp), {"message": "..."} (vLLM), {"detail": ...} (FastAPI).

    Whatever the bytes are, the words are text that can be stored: what is no JSON, or nested too deeply to be read, is
    taken as it stands, and what is no character of Unicode is replaced.
    """
    text = content.decode("utf-8", "replace")
    try:
        message = _words(json.loads(text), text)
    except (ValueError, RecursionError):
        message = text
    # JSON may hold lone surrogates, which no database takes; some take no NUL.
    return " ".join(message.replace("\0", " ").split())[:2000].encode("utf-8", "replace").decode()


def error_status(error: Any) -> int:
    """The status of HTTP that an error object names, as gateways repeat that of the server behind them; else 400."""
    for key in ("code", "status", "status_code") if isinstance(error, Mapping) else ():
        text = str(error.get(key))
        if re.fullmatch("[45][0-9][0-9]", text):
            return int(text)
    return 400


def _words(body: Any, text: str) -> str:
    words: Any = body
    for key in ("error", "message", "detail"):
        if isinstance(words, Mapping) and words.get(key):
            code = words.get("code")
            words = words[key]
            if isinstance(words, str) and isinstance(code, str) and code not in words:
                words = f"{words} ({code})"
    if words is None:
        return text
    return words if isinstance(words, str) else json.dumps(words)
