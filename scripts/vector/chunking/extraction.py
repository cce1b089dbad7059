"""Text out of payloads: HTML, articles, wikitext, and the texts that a JSON path finds in an API's reply.

The libraries are those of the extra `jobs`, imported on use. Nothing here is limited in time or memory: what anybody
may have written is read by vector.chunking.extraction_process.
"""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import metadata
from typing import Any

from vector.chunking.articles import Article, read_article, together
from vector.chunking.markup import extra_installed, html_text, wikitext_text
from vector.errors import InvalidRecord, SourceUnreadable

FORMATS = ("text", "html", "article", "wikitext", "json")
# Of a JSONPath query, in code points.
LONGEST_JSON_PATH = 1000
# What a value found in JSON may be.
VALUE_FORMATS = ("text", "html", "article", "wikitext")

_BY_EXTENSION = {
    ".txt": "text", ".text": "text", ".md": "text", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".wiki": "wikitext", ".wikitext": "wikitext", ".mediawiki": "wikitext", ".json": "json",
}  # fmt: skip
_PACKAGES = {
    "html": ("inscriptis",), "article": ("inscriptis", "mwparserfromhell", "trafilatura"),
    "wikitext": ("mwparserfromhell",), "json": ("python-jsonpath",),
}  # fmt: skip
# Functions of JSONPath that take one.
_REGULAR_EXPRESSIONS = ("match", "search")


def format_of_file(path: str) -> str | None:
    """The format that the file's extension says, or None."""
    dot = path.rfind(".")
    return _BY_EXTENSION.get(path[dot:].lower()) if dot > path.rfind("/") else None


def format_of_payload(payload: str) -> str:
    """The format that a payload looks like, where nobody says it: `article` for a reply of MediaWiki's API, `json` for
    another JSON object or list, else `html`, as which a plain text reads well too."""
    if not payload.lstrip().startswith(("{", "[")):
        return "html"
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return "html"
    return "article" if isinstance(value, dict) and ("parse" in value or "query" in value) else "json"


def check_json_path(json_path: str) -> None:
    """Raises InvalidRecord when this is no JSONPath query (RFC 9535), is longer than LONGEST_JSON_PATH, or has one of
    the functions that take a regular expression: Python's may take for ever."""
    _compiled(json_path)


def extract_text(payload: str, text_format: str, json_path: str | None = None, value_format: str = "text") -> str:
    """The text of what `extract` gives."""
    return extract(payload, text_format, json_path, value_format).text


def extract(payload: str, text_format: str, json_path: str | None = None, value_format: str = "text") -> Article:
    """The text of a payload in one of FORMATS; of an `article` its title and headings too. Of JSON: the strings that
    `json_path` finds, in document order, each in `value_format`, with an empty line between them.

    Raises SourceUnreadable when the payload is not of its format or the path finds no string, ConfigurationError when
    a library is not installed.
    """
    if text_format == "json":
        return together([extract(value, value_format) for value in _values(payload, json_path or "$")])
    if text_format == "article":
        return read_article(payload)
    if text_format == "html":
        return Article(html_text(payload))
    return Article(wikitext_text(payload) if text_format == "wikitext" else payload)


def extractor_versions(*formats: str) -> dict[str, str]:
    """The libraries that read these formats, with their versions, as far as they are installed."""
    found = {}
    for package in dict.fromkeys(package for name in formats for package in _PACKAGES.get(name, ())):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _values(payload: str, json_path: str) -> list[str]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise SourceUnreadable(f"payload is not JSON: {error}") from None
    query = _compiled(json_path)
    from jsonpath import JSONPathError

    try:
        nodes = list(query.finditer(document))
    except (JSONPathError, RecursionError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise SourceUnreadable(f"json_path {json_path!r} cannot be followed in the payload: {reason}") from None
    if not nodes:
        raise SourceUnreadable(f"json_path {json_path!r} finds nothing in the payload; correct it, or the payload")
    for node in nodes:
        if not isinstance(node.value, str):
            kind = type(node.value).__name__
            raise SourceUnreadable(f"json_path {json_path!r} finds a {kind} at {node.path}; it must find strings only")
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise SourceUnreadable(f"the text at {node.path} holds a lone surrogate, which has no UTF-8 form")
    return [node.value for node in nodes]


def _compiled(json_path: str) -> Any:
    with extra_installed():
        from jsonpath import JSONPathEnvironment
    if len(json_path) > LONGEST_JSON_PATH:
        raise InvalidRecord(f"json_path has {len(json_path)} characters; it may have {LONGEST_JSON_PATH}")
    environment = JSONPathEnvironment(strict=True)
    for name in _REGULAR_EXPRESSIONS:
        del environment.function_extensions[name]
    try:
        return environment.compile(json_path)
    except MemoryError:
        raise
    except Exception as error:  # it fails as it likes: by OverflowError on 1e400
        # Not str(error), which fails on an empty path.
        reason = error.args[0] if error.args else type(error).__name__
        raise InvalidRecord(
            f"json_path {json_path!r}: {reason}; it must be a JSONPath query (RFC 9535) without"
            f" {' and '.join(_REGULAR_EXPRESSIONS)}, whose regular expressions may take for ever"
        ) from None
