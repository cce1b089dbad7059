"""Text out of markup: HTML as a browser lays it out, and MediaWiki's wikitext. The libraries are those of the extra
`jobs`, imported on use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

from vector.errors import ConfigurationError, SourceUnreadable

INSTALL = 'pip install "vector-runtime[jobs]"'

# Canonical names, which every MediaWiki knows: links of these show a picture or a category and no words.
_WORDLESS_LINKS = ("file:", "image:", "category:")


def html_text(html: str) -> str:
    """The words of HTML as a browser lays them out: blocks on lines, the cells of a table's row beside each other; no
    scripts, no lengths.

    Raises SourceUnreadable when the elements are nested deeper than Python's stack.
    """
    tree = parsed_html(html)
    return "" if tree is None else laid_out(tree)


def parsed_html(html: str) -> Any:
    """The document's element of lxml; None where there is nothing but comments."""
    with extra_installed():
        from lxml.etree import ParserError
        from lxml.html import HTMLParser, document_fromstring
    if not html.strip():
        return None
    # By default, libxml2 silently leaves out what is nested deeper than 256 elements. What the document declares of
    # its encoding was for its bytes.
    try:
        return document_fromstring(html.encode(), parser=HTMLParser(huge_tree=True, encoding="utf-8"))
    except ParserError:
        return None


def laid_out(tree: Any) -> str:
    """The words of a document that was parsed, which this changes. Raises SourceUnreadable as html_text."""
    with extra_installed():
        from inscriptis import Inscriptis

        from vector.chunking.html_layout import layout
    ampersand = _hide_ampersands(tree)
    try:
        return Inscriptis(tree, layout()).get_text().replace(ampersand, "&")
    except RecursionError:
        raise SourceUnreadable("HTML: the elements are nested too deeply to be read") from None


def unused_characters(texts: Iterable[str], count: int) -> list[str]:
    """Characters of Unicode's private use that none of the texts has."""
    present = set().union(*texts)
    private = chain(range(0xE000, 0xF900), range(0xF0000, 0xFFFFE), range(0x100000, 0x10FFFE))
    return list(islice((chr(code) for code in private if chr(code) not in present), count))


_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def storable_xml(text: str) -> str:
    """The text with U+FFFD for what lxml reads and does not take."""
    return _CONTROLS.sub("\ufffd", text)


def _hide_ampersands(tree: Any) -> str:
    """Puts a character that the texts do not have in the place of every `&`, and gives it: the parser has unescaped the
    texts, and inscriptis would do so again, once for each table that a text is in."""
    (stand_in,) = unused_characters(tree.itertext(), 1)
    for element in tree.iter():
        for part in ("text", "tail"):
            if "&" in (getattr(element, part) or ""):
                setattr(element, part, storable_xml(getattr(element, part)).replace("&", stand_in))
    return stand_in


def wikitext_text(wikitext: str, heading: Callable[[int, str], str] | None = None) -> str:
    """The words of MediaWiki's markup: links by their labels; no templates, comments, references, pictures. `heading`
    is given the level, 1 to 6, and the markup of each heading, and says what stands in its place."""
    with extra_installed():
        import mwparserfromhell
    try:
        code = mwparserfromhell.parse(wikitext)
        _drop_wordless(code)
        if heading is not None:
            for each in code.filter_headings():
                each.title = heading(each.level, str(each.title).strip())
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
            nodes: Any = SmartList
            each.nodes = nodes(kept)
        # A template is not rendered, whatever is in it.
        waiting += [child for node in kept if not isinstance(node, Template) for child in node.__children__()]


@contextmanager
def extra_installed() -> Iterator[None]:
    """Raises ConfigurationError in place of ImportError."""
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"this format needs {error.name}, of the extra jobs: {INSTALL}") from None
