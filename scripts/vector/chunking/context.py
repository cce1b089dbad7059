"""The context of a chunk: its source's title and the headings above it, for word search and for reading.

`macros/chunking/heading_ctes.sql` is the other half of this module; tests compare the two. A heading is a line of
Markdown (one to six `#`, then a blank) or of wikitext (two to six `=` on both sides), outside code that lines of ```
fence. A chunk has the headings above the place where it begins, one that it begins with included: the last one, and of
those before it each that no later heading of its level or above has ended. No model is given the context.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from vector.contracts.identity import is_blank

# Of the title and of each heading, so many code points are kept.
LONGEST = 200
SEPARATOR = " > "
_LEVELS = range(1, 7)
_MARKDOWN = re.compile("#{1,6}(?= )")
_WIKITEXT = re.compile("={2,6}(?!=)")


def contexts(title: str | None, text: str, starts: Sequence[int]) -> list[str | None]:
    """The context of the chunks that start at these offsets, which ascend or not; None where there is neither a title
    nor a heading."""
    name = _shown(title or "")
    if is_blank(name):
        name = ""
    sections = list(_sections(text)) if "#" in text or "==" in text else []
    found: list[str | None] = [None] * len(starts)
    path: list[str] = []
    following = 0
    for position in sorted(range(len(starts)), key=starts.__getitem__):
        while following < len(sections) and sections[following][0] <= starts[position]:
            path = sections[following][1]
            following += 1
        headings = SEPARATOR.join(path)
        # A title that is the first heading is not said twice.
        said = not name or f"{headings}{SEPARATOR}".startswith(f"{name}{SEPARATOR}")
        found[position] = (headings if said else SEPARATOR.join([name, *path])) or None
    return found


def _sections(text: str) -> Iterator[tuple[int, list[str]]]:
    """Where each heading is, and the headings of its section, its own last."""
    above: dict[int, str] = {}
    for start, level, heading in _headings(text):
        above = {each: above[each] for each in _LEVELS if each < level and each in above}
        above[level] = heading
        yield start, [above[each] for each in sorted(above)]


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    start, fenced = 0, False
    for line in text.split("\n"):
        shown = line.replace("\t", " ").rstrip(" ")
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            level, heading = 0, ""
            if marks := _MARKDOWN.match(line.replace("\t", " ")):
                level, heading = marks.end(), shown[marks.end() :]
            elif (marks := _WIKITEXT.match(shown)) and shown.endswith("=="):
                level, heading = marks.end(), shown.strip("= ")
            heading = _shown(heading)
            if level and not is_blank(heading):
                yield start, level, heading
        start += len(line) + 1


def _shown(text: str) -> str:
    return text.replace("\t", " ").strip(" ")[:LONGEST]
