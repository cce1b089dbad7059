"""Articles: what a page says, without what stands around it, from HTML or a reply of MediaWiki's API.

Left out are menus, tables of contents, navigation boxes, edit links, notices, references and the headings of sections
that have nothing else. What MediaWiki made is read by its own classes, which lose nothing of a text; of any other page,
trafilatura (the extra `articles`) finds the main text. docs/decisions/0015 measures both.

A heading is a line of Markdown (`## History`), so that a text keeps its structure, and what cuts by it finds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from vector.chunking.markup import laid_out, parsed_html, storable_xml, unused_characters, wikitext_text
from vector.errors import ConfigurationError, SourceUnreadable

INSTALL = 'pip install "vector-runtime[articles]"'

# Classes of MediaWiki's parser, skins and common templates. On other pages some of them are a text's: Sphinx writes
# `reference` on every link.
_OF_WIKI = frozenset(
    "ambox asbox authority-control catlinks citation hatnote metadata mw-cite-backlink mw-editsection mw-empty-elt"
    " mw-indicators mw-jump-link mw-references-wrap navbar navbox navbox-styles noprint portal-bar printfooter"
    " reference references reflist shortdescription sidebar sistersitebox toc vertical-navbox".split()
)
# Of links to a heading beside it.
_OF_PAGES = frozenset({"headerlink", "anchorlink", "mw-editsection"})
_AROUND_TAGS = frozenset("button form iframe input nav noscript script select style template textarea".split())
_AROUND_ROLES = frozenset("banner contentinfo dialog navigation search".split())
_ITEMS = frozenset("li ul ol dd dl".split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_PARSED = "mw-parser-output"

_WIKI_HEADING = re.compile(r"^(={1,6})[ \t]*(\S.*?)[ \t]*\1[ \t]*$", re.MULTILINE)
_LOOKS_LIKE_HTML = re.compile(r"<(?:p|div|h[1-6]|ul|ol|dl|table|section|span|br|b|i)\b[^>]*>", re.IGNORECASE)
_PRE_IN_LINE = re.compile("<pre>(.*?)</pre>")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Heading:
    """A heading of a text: its line begins at `offset`, in code points; `level` is 1, the highest, to 6."""

    offset: int
    level: int
    text: str


@dataclass(frozen=True)
class Article:
    """A text with lines that end in LF, its title, which the text of a wiki's page does not repeat, and its headings
    in order."""

    text: str
    title: str | None = None
    headings: tuple[Heading, ...] = ()


def heading_path(headings: Sequence[Heading], offset: int) -> list[str]:
    """The headings that a character of the text stands under, the highest first."""
    path: list[Heading] = []
    for each in headings:
        if each.offset > offset:
            break
        path = [above for above in path if above.level < each.level] + [each]
    return [each.text for each in path]


def read_article(payload: str) -> Article:
    """The article of a payload: a reply of MediaWiki's API where it is a JSON object, else HTML.

    Of a reply `parse.text`, else `parse.wikitext`; or of each page of `query.pages`, `extract`, else its revision; in
    the shapes of formatversion 1 and 2. Several pages are one text, each under its title.

    Raises SourceUnreadable when a reply is an error, lacks a page or has no text; ConfigurationError when a library is
    not installed.
    """
    if not payload.lstrip("\ufeff \t\r\n").startswith("{"):
        return _of_html(payload)
    try:
        reply = json.loads(payload.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise SourceUnreadable(f"payload is not JSON: {error}") from None
    if isinstance(refused := reply.get("error"), dict):
        said = f"{refused.get('code')}: {refused.get('info')}"
        raise SourceUnreadable(f"MediaWiki answered with an error, {said[:1000]}")
    if isinstance(reply.get("parse"), dict):
        return _of_parse(reply["parse"])
    query = reply.get("query")
    pages = query.get("pages") if isinstance(query, dict) else None
    listed = list(pages.values()) if isinstance(pages, dict) else pages
    if not isinstance(listed, list) or not listed or not all(isinstance(page, dict) for page in listed):
        raise SourceUnreadable(
            "the JSON has neither parse nor query.pages, so it is no reply of MediaWiki's API with a text; of other"
            " JSON, give format json and a json_path"
        )
    return together([_of_page(page) for page in listed])


def _of_parse(parse: dict[str, Any]) -> Article:
    title = _title(parse)
    for name, read in (("text", _of_wiki_html), ("wikitext", _of_wikitext)):
        if (found := _string(parse.get(name))) is not None:
            return read(found, title)
    raise SourceUnreadable("MediaWiki's reply has neither parse.text nor parse.wikitext; ask for prop=text")


def _of_page(page: dict[str, Any]) -> Article:
    title = _title(page)
    for flag in ("missing", "invalid"):
        if page.get(flag) not in (None, False):
            raise SourceUnreadable(f"MediaWiki's reply has no text of the page {title!r}: it is {flag}")
    if (extract := _string(page.get("extract"))) is not None:
        return _of_wiki_html(extract, title) if _LOOKS_LIKE_HTML.search(extract) else _of_plain(extract, title)
    revisions = page.get("revisions")
    revision = revisions[0] if isinstance(revisions, list) and revisions else None
    if isinstance(revision, dict):
        slots = revision.get("slots")
        main = slots.get("main", revision) if isinstance(slots, dict) else revision
        if (content := _string(main)) is not None:
            model = main.get("contentmodel", "wikitext")
            if model != "wikitext":
                raise SourceUnreadable(f"the page {title!r} has the content model {model!r}; it must be wikitext")
            return _of_wikitext(content, title)
    raise SourceUnreadable(f"MediaWiki's reply has no extract and no revision of the page {title!r}; ask for one")


def _string(value: Any) -> str | None:
    """A text of a reply: in formatversion 1 it is the key `*` of an object, in 2 the value, or the key `content`."""
    if isinstance(value, dict):
        value = value.get("*", value.get("content"))
    if not isinstance(value, str):
        return None
    if _SURROGATES.search(value):
        raise SourceUnreadable("the text of MediaWiki's reply holds a lone surrogate, which has no UTF-8 form")
    return value


def _title(value: dict[str, Any]) -> str | None:
    title = value.get("title")
    return _words(title) or None if isinstance(title, str) else None


def _words(text: str) -> str:
    """The text on one line, and storable."""
    return " ".join(_SURROGATES.sub("\ufffd", storable_xml(text)).split())


def together(articles: Sequence[Article]) -> Article:
    """Several texts as one, with an empty line between them: each under its title, where there are several."""
    if len(articles) == 1:
        return articles[0]
    parts: list[str] = []
    headings: list[Heading] = []
    length = 0
    for article in articles:
        if article.title:
            headings.append(Heading(length, 1, article.title))
            parts.append(f"# {article.title}")
            length += len(parts[-1]) + 2
        headings += [Heading(length + each.offset, each.level, each.text) for each in article.headings]
        parts.append(article.text)
        length += len(article.text) + 2
    return Article("\n\n".join(parts), None, tuple(headings))


# HTML


def _of_html(html: str) -> Article:
    tree = parsed_html(html)
    if tree is None:
        return Article("")
    _drop_around(tree, _OF_PAGES)
    title = _page_title(tree)
    parsed = [each for each in tree.iter() if isinstance(each.tag, str) and _PARSED in _classes(each)]
    if parsed:
        return _of_wiki_tree(max(parsed, key=lambda each: len(each.text_content())), title)
    return _of_tree(_main_text(tree), title)


def _of_wiki_html(html: str, title: str | None) -> Article:
    tree = parsed_html(html)
    return Article("", title) if tree is None else _of_wiki_tree(tree, title)


def _of_wiki_tree(tree: Any, title: str | None) -> Article:
    _drop_around(tree, _OF_WIKI)
    return _of_tree(tree, title, drop_empty=True)


def _of_tree(tree: Any, title: str | None, drop_empty: bool = False) -> Article:
    marks = _Marks(tree.itertext())
    for element in list(tree.iter(*_HEADINGS)):
        _surround(element, *marks.of_level(_HEADINGS[element.tag]))
    return marks.article(laid_out(tree), title, drop_empty)


def _surround(element: Any, start: str, end: str) -> None:
    element.text = start + storable_xml(element.text or "")
    if len(element):
        element[-1].tail = storable_xml(element[-1].tail or "") + end
    else:
        element.text += end


def _drop_around(tree: Any, classes: Collection[str]) -> None:
    """Takes out what stands around a text, and the items of lists that had nothing else."""
    for element in list(tree.iter()):
        if element is tree or element.getparent() is None or not _is_around(element, classes):
            continue
        holder = element.getparent()
        element.drop_tree()
        while holder is not tree and holder.tag in _ITEMS and not holder.text_content().strip():
            empty, holder = holder, holder.getparent()
            empty.drop_tree()


def _is_around(element: Any, classes: Collection[str]) -> bool:
    if not isinstance(element.tag, str):  # a comment
        return False
    role = (element.get("role") or "").lower()
    return element.tag in _AROUND_TAGS or role in _AROUND_ROLES or any(each in classes for each in _classes(element))


def _classes(element: Any) -> list[str]:
    return (element.get("class") or "").split()


def _main_text(tree: Any) -> Any:
    """What trafilatura keeps of a page; the page where it keeps nothing, as of a short one."""
    try:
        from trafilatura import extract
    except ImportError as error:
        raise ConfigurationError(f"articles of other pages than a wiki's need {error.name}: {INSTALL}") from None
    from lxml.html import tostring

    kept = extract(
        tostring(tree, encoding="unicode"), output_format="html", include_comments=False, include_tables=True
    )
    # It has one element for code in a line and code in lines, which stands on a line of its own.
    lines = (
        line if line.lstrip().startswith("<pre>") else _PRE_IN_LINE.sub(r"<code>\1</code>", line)
        for line in (kept or "").split("\n")
    )
    found = parsed_html("\n".join(lines))
    return tree if found is None or not found.text_content().strip() else found


def _page_title(tree: Any) -> str | None:
    """What the page says it is called: to those that link to it, in its only first heading, or in the window."""
    first = tree.xpath("//h1")
    candidates = [
        *tree.xpath("//meta[@property='og:title']/@content"),
        *(each.text_content() for each in first if len(first) == 1),
        *(each.text_content() for each in tree.xpath("//title")),
    ]
    return next((words for each in candidates if (words := _words(each))), None)


# Texts with headings


def _of_wikitext(wikitext: str, title: str | None) -> Article:
    marks = _Marks([wikitext])
    return marks.article(wikitext_text(wikitext, marks.marked), title, drop_empty=True)


def _of_plain(text: str, title: str | None) -> Article:
    """The text of TextExtracts, with its headings as exsectionformat=wiki has them."""
    marks = _Marks([text])
    marked = _WIKI_HEADING.sub(lambda found: marks.marked(len(found[1]), found[2]), text)
    return marks.article(marked.replace("\r\n", "\n").replace("\r", "\n"), title, drop_empty=True)


class _Marks:
    """Characters that texts do not have, put around headings until the text is laid out."""

    def __init__(self, texts: Any):
        *starts, self._end = unused_characters(texts, 7)
        self._starts = dict(enumerate(starts, 1))
        self._heading = re.compile(f"[ \\t]*([{''.join(starts)}])([^{self._end}]*){self._end}[ \\t]*")

    def of_level(self, level: int) -> tuple[str, str]:
        """What comes before a heading and after it."""
        return self._starts[level], self._end

    def marked(self, level: int, heading: str) -> str:
        """The heading between its marks."""
        return self._starts[level] + heading + self._end

    def article(self, text: str, title: str | None, drop_empty: bool) -> Article:
        """The text with its headings as lines of Markdown; without those that nothing stands under, if `drop_empty`."""
        levels = {mark: level for level, mark in self._starts.items()}
        blocks: list[tuple[int, str]] = []  # the level of a heading, 0 of a text; and its words
        end = 0
        for found in self._heading.finditer(text):
            blocks += [(0, text[end : found.start()]), (levels[found[1]], _words(found[2]))]
            end = found.end()
        blocks.append((0, text[end:]))
        kept = [(level, words) for level, each in blocks if (words := each if level else self._tidy(each))]
        return _joined(_without_empty(kept) if drop_empty else kept, title)

    def _tidy(self, text: str) -> str:
        lines = "\n".join(line.rstrip() for line in text.split("\n"))
        return re.sub("\n{3,}", "\n\n", lines).strip("\n")


def _without_empty(blocks: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The blocks without headings that are followed by one of their level or a higher one, or by nothing."""
    kept: list[tuple[int, str]] = []
    for level, words in reversed(blocks):
        below = kept[-1][0] if kept else 1
        if level == 0 or below == 0 or below > level:
            kept.append((level, words))
    return kept[::-1]


def _joined(blocks: list[tuple[int, str]], title: str | None) -> Article:
    text, headings = "", []
    for level, words in blocks:
        text += "\n\n" if text else ""
        if level:
            headings.append(Heading(len(text), level, words))
            text += f"{'#' * level} "
        text += words
    return Article(text, title, tuple(headings))
