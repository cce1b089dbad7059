"""Text out of payloads: HTML, wikitext, and the texts that a JSON path finds in an API's reply.

The libraries are those of the extra `jobs`, imported on use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from typing import Any

from vector.errors import ConfigurationError, InvalidRecord, SourceUnreadable

FORMATS = ("text", "html", "wikitext", "json")
# What a value found in JSON may be.
VALUE_FORMATS = ("text", "html", "wikitext")
INSTALL = "pip install 'vector-runtime[jobs]'"

_BY_EXTENSION = {
    ".txt": "text", ".text": "text", ".md": "text", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".wiki": "wikitext", ".wikitext": "wikitext", ".mediawiki": "wikitext", ".json": "json",
}  # fmt: skip
_PACKAGES = {"html": "inscriptis", "wikitext": "mwparserfromhell", "json": "python-jsonpath"}
# Canonical names, which every MediaWiki knows: links of these show a picture or a category and no words.
_WORDLESS_LINKS = ("file:", "image:", "category:")


def format_of_file(path: str) -> str | None:
    """The format that the file's extension says, or None."""
    dot = path.rfind(".")
    return _BY_EXTENSION.get(path[dot:].lower()) if dot > path.rfind("/") else None


def check_json_path(json_path: str) -> None:
    """Raises InvalidRecord when this is no JSONPath query (RFC 9535)."""
    _compiled(json_path)


def extract_text(payload: str, text_format: str, json_path: str | None = None, value_format: str = "text") -> str:
    """The text of a payload in one of FORMATS. Of JSON: the strings that `json_path` finds, in document order, each
    in `value_format`, with an empty line between them.

    Raises SourceUnreadable when the payload is not of its format or the path finds no string, ConfigurationError when
    a library is not installed.
    """
    if text_format == "json":
        return "\n\n".join(extract_text(value, value_format) for value in _values(payload, json_path or "$"))
    if text_format == "html":
        return html_text(payload)
    return wikitext_text(payload) if text_format == "wikitext" else payload


def extractor_versions(*formats: str) -> dict[str, str]:
    """The libraries that read these formats, with their versions."""
    return {_PACKAGES[name]: metadata.version(_PACKAGES[name]) for name in formats if name in _PACKAGES}


def html_text(html: str) -> str:
    """The words of HTML as a browser lays them out: blocks on lines, tables in columns; no scripts, no styles.

    Raises SourceUnreadable when the elements are nested deeper than Python's stack.
    """
    with _extra_installed():
        from inscriptis import Inscriptis
        from inscriptis.css_profiles import CSS_PROFILES
        from inscriptis.model.config import ParserConfig
        from lxml.etree import ParserError
        from lxml.html import HTMLParser, document_fromstring
    if not html.strip():
        return ""
    # By default, libxml2 silently leaves out what is nested deeper than 256 elements. What the document declares of
    # its encoding was for its bytes.
    parser = HTMLParser(huge_tree=True, encoding="utf-8")
    try:
        tree = document_fromstring(html.encode(), parser=parser)
        ampersand = _hide_ampersands(tree)
        text = Inscriptis(tree, ParserConfig(css=CSS_PROFILES["strict"])).get_text()
        return text.replace(ampersand, "&")
    except ParserError:  # nothing but comments, say
        return ""
    except RecursionError:
        raise SourceUnreadable("HTML: the elements are nested too deeply to be read") from None


def _hide_ampersands(tree: Any) -> str:
    """Puts a character that the texts do not have in the place of every `&`, and gives it: the parser has unescaped the
    texts, and inscriptis would do so again, once for each table that a text is in."""
    present = set().union(*tree.itertext())
    stand_in = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in present)
    for element in tree.iter():
        for part in ("text", "tail"):
            if "&" in (getattr(element, part) or ""):
                setattr(element, part, getattr(element, part).replace("&", stand_in))
    return stand_in


def wikitext_text(wikitext: str) -> str:
    """The words of MediaWiki's markup: links by their labels; no templates, comments, references, pictures."""
    with _extra_installed():
        import mwparserfromhell
    code = mwparserfromhell.parse(wikitext)
    for tag in code.filter_tags(matches=lambda node: str(node.tag).strip().lower() == "ref"):
        _remove(code, tag)
    for link in code.filter_wikilinks(matches=lambda node: str(node.title).strip().lower().startswith(_WORDLESS_LINKS)):
        _remove(code, link)
    return code.strip_code()


def _remove(code: Any, node: Any) -> None:
    with suppress(ValueError):  # it went with the one that it was in
        code.remove(node)


def _values(payload: str, json_path: str) -> list[str]:
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise SourceUnreadable(f"payload is not JSON: {error}") from None
    nodes = list(_compiled(json_path).finditer(document))
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
    with _extra_installed():
        from jsonpath import JSONPathEnvironment, JSONPathError
    try:
        return JSONPathEnvironment(strict=True).compile(json_path)
    except JSONPathError as error:
        # Not str(error), which fails on an empty path.
        raise InvalidRecord(
            f"json_path {json_path!r}: {error.args[0]}; it must be a JSONPath query (RFC 9535)"
        ) from None


@contextmanager
def _extra_installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"this format needs {error.name}, of the extra jobs: {INSTALL}") from None
