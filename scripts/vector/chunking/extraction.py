"""Text out of payloads: HTML, wikitext, and the texts that a JSON path finds in an API's reply.

The libraries are those of the extra `jobs`, imported on use. Nothing here is limited in time or memory: what anybody
may have written is read by vector.chunking.extraction_process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from itertools import chain
from typing import Any

from vector.errors import ConfigurationError, InvalidRecord, SourceUnreadable

FORMATS = ("text", "html", "wikitext", "json")
# Of a JSONPath query, in code points.
LONGEST_JSON_PATH = 1000
# What a value found in JSON may be.
VALUE_FORMATS = ("text", "html", "wikitext")
INSTALL = 'pip install "vector-runtime[jobs]"'

_BY_EXTENSION = {
    ".txt": "text", ".text": "text", ".md": "text", ".html": "html", ".htm": "html", ".xhtml": "html",
    ".wiki": "wikitext", ".wikitext": "wikitext", ".mediawiki": "wikitext", ".json": "json",
}  # fmt: skip
_PACKAGES = {"html": "inscriptis", "wikitext": "mwparserfromhell", "json": "python-jsonpath"}
# Functions of JSONPath that take one.
_REGULAR_EXPRESSIONS = ("match", "search")
# Canonical names, which every MediaWiki knows: links of these show a picture or a category and no words.
_WORDLESS_LINKS = ("file:", "image:", "category:")


def format_of_file(path: str) -> str | None:
    """The format that the file's extension says, or None."""
    dot = path.rfind(".")
    return _BY_EXTENSION.get(path[dot:].lower()) if dot > path.rfind("/") else None


def format_of_payload(payload: str) -> str:
    """The format that a payload looks like, where nobody says it: `json` for a JSON object or list, else `html`, as
    which a plain text reads well too."""
    if not payload.lstrip().startswith(("{", "[")):
        return "html"
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return "html"
    return "json"


def check_json_path(json_path: str) -> None:
    """Raises InvalidRecord when this is no JSONPath query (RFC 9535), is longer than LONGEST_JSON_PATH, or has one of
    the functions that take a regular expression: Python's may take for ever."""
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
    """The words of HTML as a browser lays them out: blocks on lines, the cells of a table's row beside each other; no
    scripts, no lengths.

    Raises SourceUnreadable when the elements are nested deeper than Python's stack.
    """
    with _extra_installed():
        from inscriptis import Inscriptis
        from lxml.etree import ParserError
        from lxml.html import HTMLParser, document_fromstring

        from vector.chunking.html_layout import layout
    if not html.strip():
        return ""
    # By default, libxml2 silently leaves out what is nested deeper than 256 elements. What the document declares of
    # its encoding was for its bytes.
    parser = HTMLParser(huge_tree=True, encoding="utf-8")
    try:
        tree = document_fromstring(html.encode(), parser=parser)
        ampersand = _hide_ampersands(tree)
        return Inscriptis(tree, layout()).get_text().replace(ampersand, "&")
    except ParserError:  # nothing but comments, say
        return ""
    except RecursionError:
        raise SourceUnreadable("HTML: the elements are nested too deeply to be read") from None


_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def _hide_ampersands(tree: Any) -> str:
    """Puts a character that the texts do not have in the place of every `&`, and gives it: the parser has unescaped the
    texts, and inscriptis would do so again, once for each table that a text is in."""
    present = set().union(*tree.itertext())
    private = chain(range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
    stand_in = next(chr(code) for code in private if chr(code) not in present)
    for element in tree.iter():
        for part in ("text", "tail"):
            if "&" in (getattr(element, part) or ""):
                text = _CONTROLS.sub("\ufffd", getattr(element, part))  # lxml reads them, and takes none
                setattr(element, part, text.replace("&", stand_in))
    return stand_in


def wikitext_text(wikitext: str) -> str:
    """The words of MediaWiki's markup: links by their labels; no templates, comments, references, pictures."""
    with _extra_installed():
        import mwparserfromhell
    try:
        code = mwparserfromhell.parse(wikitext)
        _drop_wordless(code)
        # As browsers read &#xd800;, which is no character.
        return _SURROGATES.sub("\ufffd", code.strip_code())
    except RecursionError:
        raise SourceUnreadable("wikitext: it is nested too deeply to be read") from None


def _drop_wordless(code: Any) -> None:
    """Takes references and pictures out, in one pass: to remove them one by one reads the text again for each."""
    from mwparserfromhell.nodes import Tag, Template, Wikilink
    from mwparserfromhell.smart_list import SmartList

    def is_wordless(node: Any) -> bool:
        if isinstance(node, Tag):
            return str(node.tag).strip().lower() == "ref"
        return isinstance(node, Wikilink) and str(node.title).strip().lower().startswith(_WORDLESS_LINKS)

    waiting = [code]
    while waiting:
        each = waiting.pop()
        kept = [node for node in each.nodes if not is_wordless(node)]
        if len(kept) < len(each.nodes):
            each.nodes = SmartList(kept)
        # A template is not rendered, whatever is in it.
        waiting += [child for node in kept if not isinstance(node, Template) for child in node.__children__()]


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
    with _extra_installed():
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


@contextmanager
def _extra_installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"this format needs {error.name}, of the extra jobs: {INSTALL}") from None
