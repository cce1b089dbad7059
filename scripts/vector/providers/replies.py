"""A model server's reply, read as what a stranger sent: up to a limit, decoded bytes counted, and believed only where
it can be true."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

# A float of JSON has up to 25 characters with its comma; a reply that is indented gives each a line of its own.
BYTES_A_NUMBER = 48
BYTES_A_TEXT = 2048
BYTES_BESIDES = 1 << 18
# Of lists of models and the like.
PAGE_LIMIT = 1 << 24

_PIECE = 1 << 16


class Undecodable(Exception):
    """The body is not of the encoding that it claims."""


class Doubled(ValueError):
    """An object names a key twice: parsers differ in which one counts."""


def reply_limit(texts: int, dimensions: int) -> int:
    """The most bytes, decoded, that an honest reply to so many texts has."""
    return BYTES_BESIDES + texts * (BYTES_A_TEXT + dimensions * BYTES_A_NUMBER)


def read_body(raw: Any, limit: int) -> tuple[bytes, bool]:
    """The decoded body of a urllib3 response, up to `limit` bytes, and whether that is all of it.

    gzip and deflate (RFC 9110, 8.4.1) are decoded piece by piece, so that a small body that grows takes no more memory
    than any other. Raises Undecodable, and what urllib3 raises.
    """
    decode = _decoder(raw.headers.get("Content-Encoding", ""))
    parts: list[bytes] = []
    received = size = 0
    while piece := raw.read(_PIECE, decode_content=False):
        received += len(piece)
        part = decode(piece, limit + 1 - size)
        parts.append(part)
        size += len(part)
        # Received ones too: a body may be endless and decode to nothing.
        if size > limit or received > limit:
            return b"".join(parts)[:limit], False
    decode(b"", 0)
    return b"".join(parts), True


def json_object(content: bytes) -> dict[str, Any] | None:
    """The JSON object that the bytes are; None where they are none. Raises Doubled."""
    try:
        body = json.loads(content, object_pairs_hook=_without_doubles)
    except Doubled:
        raise
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def plausible_tokens(told: Any, texts: Sequence[str]) -> int | None:
    """The count of tokens that a server told of a request, where it can be true; else None, as if nothing were told.

    A text has at least a token, and a request no more of them than bytes: those of its texts, and four a text for the
    quotes around it, which stand for the special tokens that models add.
    """
    most = sum(len(text.encode("utf-8", "replace")) + 4 for text in texts)
    return told if type(told) is int and 0 < told <= most else None


def is_count(value: Any) -> bool:
    """Whether what a server told is a number of something, of a size that there is."""
    return type(value) is int and 0 <= value < 1 << 31


def vector_length(value: Any) -> int | None:
    """The dimensions of what a server told as a vector; None where it is no list of numbers."""
    return len(value) if isinstance(value, list) and value and set(map(type, value)) <= {int, float} else None


def is_name(value: str) -> bool:
    """Whether what a server told can be a name, version or digest: short, and of characters that can be seen."""
    return 0 < len(value) <= 90 and value.isprintable()


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Doubled
    return found


def _decoder(encoding: str) -> Callable[[bytes, int], bytes]:
    """What decodes the next piece to so many bytes at the most; called with an empty piece at the end."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda piece, most: piece
    if name not in ("gzip", "x-gzip", "deflate"):
        raise Undecodable(f"its reply is encoded as {name[:40]!r}, which was not asked for")
    return _Inflater()


class _Inflater:
    def __init__(self) -> None:
        self._stream, self._begun = zlib.decompressobj(zlib.MAX_WBITS | 32), False  # 32: gzip or zlib, as it begins

    def __call__(self, piece: bytes, most: int) -> bytes:
        if not piece:
            if self._begun and not self._stream.eof:
                raise Undecodable("its reply ends in the middle")
            return b""
        try:
            return self._inflated(piece, most)
        except zlib.error:
            if self._begun:
                raise Undecodable("its reply is not encoded as it says") from None
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers take "deflate" by its word
        try:
            return self._inflated(piece, most)
        except zlib.error:
            raise Undecodable("its reply is not encoded as it says") from None

    def _inflated(self, piece: bytes, most: int) -> bytes:
        parts: list[bytes] = []
        while piece and most > 0:
            if self._stream.eof:  # a body may be several members, one after the other
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
            part = self._stream.decompress(piece, most)
            self._begun = True
            parts.append(part)
            most -= len(part)
            piece = self._stream.unused_data if self._stream.eof else b""
        return b"".join(parts)
