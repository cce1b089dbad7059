"""Hashes and ids, byte for byte the same here, in DuckDB SQL and in T-SQL.

Every digest is lower-case hexadecimal SHA-256. Text is hashed as its UTF-8 bytes, a vector as its
little-endian float32 bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vector.contracts.json_column import UnreadableJson
from vector.errors import InvalidRecord

if TYPE_CHECKING:
    import numpy as np

# The inside of a character class: Unicode's White_Space, and what else shows nothing. Models of dbt have the same list
# (macros/chunking/blank_ranges.sql), docs/schema.md has it in words.
BLANKS = r"\u0009-\u000d\u0020\u0085\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u2029\u202f\u205f-\u2060\u3000\ufeff"
_VISIBLE = re.compile(f"[^{BLANKS}]")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
_NOT_IN_IDENTITY = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def compute_content_hash(text: str) -> str:
    """SHA-256 of the text's UTF-8 bytes, 64 hexadecimal characters.

    Raises InvalidRecord when the text holds a lone surrogate, which has no UTF-8 form.
    """
    return hashlib.sha256(_utf8(text)).hexdigest()


def content_hash_and_size(text: str) -> tuple[str, int]:
    """The text's `compute_content_hash`, and the number of its UTF-8 bytes; the text is encoded once.

    Raises InvalidRecord when the text holds a lone surrogate, which has no UTF-8 form.
    """
    encoded = _utf8(text)
    return hashlib.sha256(encoded).hexdigest(), len(encoded)


def compute_vector_hash(vector: Sequence[float] | np.ndarray) -> str:
    """SHA-256 of the vector's little-endian float32 bytes, 64 hexadecimal characters.

    `vector` is a flat list or one-dimensional array of real numbers. A float64 is rounded to the nearest
    float32 first, so a vector and its stored form have one hash. Raises InvalidRecord as `as_float32` does.
    """
    return hashlib.sha256(as_float32(vector).data).hexdigest()


def as_float32(vector: Sequence[float] | np.ndarray) -> np.ndarray:
    """The vector as it is stored, little-endian float32 of shape (dimensions,).

    Raises InvalidRecord when it is empty, not one-dimensional, not of numbers, or not finite as float32.
    """
    import numpy as np

    if vector is None:
        raise InvalidRecord("vector: is None, must be a list of numbers")
    try:
        given = np.asarray(vector)
    except ValueError as error:
        raise InvalidRecord(f"vector: not a flat list of numbers ({error})") from None
    if given.ndim != 1 or given.size == 0:
        raise InvalidRecord(f"vector: must be one-dimensional and not empty, has shape {given.shape}")
    if given.dtype.kind not in "iuf":
        raise InvalidRecord(f"vector: must hold real numbers only, holds {given.dtype}")
    stored = given
    if given.dtype != "<f4":
        with np.errstate(over="ignore"):
            # By way of float64, so that an integer is rounded exactly as the float equal to it is.
            stored = given.astype(np.float64, copy=False).astype("<f4")
    if not np.isfinite(stored).all():
        position = int(np.flatnonzero(~np.isfinite(stored))[0])
        raise InvalidRecord(f"vector: {given[position]} at position {position} is not finite as float32")
    return np.ascontiguousarray(stored)


def generate_chunk_id(source_id: str, chunk_index: int, start_offset: int, end_offset: int, policy_version: str) -> str:
    """SHA-256 of `source_id:chunk_index:start_offset:end_offset:policy_version`, 64 hexadecimal characters.

    Offsets count code points, end exclusive. Distinct inputs have distinct ids as long as no policy version
    holds a colon: the last four parts are then found from the right, whatever the source id holds.

    Raises InvalidRecord on a lone surrogate, ValueError when an index or offset is not an integer.
    """
    return compute_content_hash(f"{source_id}:{chunk_index:d}:{start_offset:d}:{end_offset:d}:{policy_version}")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no blanks, non-ASCII characters as they are.

    Raises InvalidRecord when the value has no JSON form (NaN, infinity, a foreign type, mixed key types).
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidRecord(f"no canonical JSON: {error}") from None
    except RecursionError:
        raise InvalidRecord("no canonical JSON: it is nested too deeply") from None


def canonical_preprocess_policy(policy: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The policy without the keys whose value is None; None when nothing is left.

    Raises InvalidRecord when the policy is no mapping.
    """
    if policy is None:
        return None
    if isinstance(policy, UnreadableJson):
        policy.refuse()
    if not isinstance(policy, Mapping):
        raise InvalidRecord(f"preprocess_policy: must be an object or null, is {type(policy).__name__}")
    return {key: value for key, value in policy.items() if value is not None} or None


def space_identity_json(
    provider: str,
    model_name: str,
    model_tag: str | None,
    model_digest: str | None,
    dimensions: int,
    normalize_flag: bool,
    distance_metric: str,
    preprocess_policy: Mapping[str, Any] | None,
    transform_ref: str | None,
) -> str:
    """The canonical JSON object that an embedding space's id is the digest of; null stands for absent.

    SQL builds the same bytes by concatenation and escapes only quotes, backslashes, line breaks and tabs. Other
    control characters below U+0020 are therefore refused in every string here, those inside `preprocess_policy`
    and its keys included.

    Raises InvalidRecord on such a character, a lone surrogate, or a value without a JSON form.
    """
    identity = {
        "provider": provider,
        "model_name": model_name,
        "model_tag": model_tag,
        "model_digest": model_digest,
        "dimensions": dimensions,
        "normalize_flag": bool(normalize_flag),
        "distance_metric": distance_metric,
        "preprocess_policy": canonical_preprocess_policy(preprocess_policy),
        "transform_ref": transform_ref,
    }
    for name, value in identity.items():
        for text in _strings_in(value):
            _refuse(_NOT_IN_IDENTITY, text, f"embedding space {name}")
    return canonical_json(identity)


def uuid_from_digest(text: str) -> str:
    """The first 32 hexadecimal digits of the text's SHA-256, shaped 8-4-4-4-12.

    Raises InvalidRecord when the text holds a lone surrogate.
    """
    return str(uuid.UUID(hex=compute_content_hash(text)[:32]))


def new_id() -> str:
    """A random UUID (version 4) as text."""
    return str(uuid.uuid4())


def require_storable_text(text: str, what: str) -> None:
    """Raises InvalidRecord, naming `what` and the 0-based code point, when text holds a NUL or lone surrogate."""
    # The pattern looks at each character by itself, and is asked only for where the fault is.
    if "\0" in text or not (text.isascii() or _has_utf8(text)):
        _refuse(_UNSTORABLE, text, what)


def utf16_units(text: str) -> int:
    """The length of a text as SQL Server counts it: a character is one or two code units of UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_blank(text: str) -> bool:
    """Whether the text has no visible character: none but those of BLANKS."""
    return _VISIBLE.search(text) is None


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise InvalidRecord(f"text: lone surrogate U+{code:04X} at position {error.start} has no UTF-8 form") from None


def _has_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _refuse(unwanted: re.Pattern[str], text: str, what: str) -> None:
    found = unwanted.search(text)
    if found is None:
        return
    code = ord(found.group())
    kind = "lone surrogate" if code >= 0xD800 else "NUL" if code == 0 else "control character"
    raise InvalidRecord(f"{what}: {kind} U+{code:04X} at position {found.start()} is not allowed")


def _strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings_in(key)
            yield from _strings_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _strings_in(inner)
