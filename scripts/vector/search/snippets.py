"""The part of a found text that a person is shown: the sentence that has most of the question's words, and where those
words are in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vector.contracts.sentences import SENTENCE_END
from vector.search.language import NEUTRAL, Language
from vector.search.tokens import UNSPACED, Analyzers
from vector.wording import SHOWN, printable

# A word as it is written, and the marks and joiners inside of it; `_` separates, as in an index of words.
_WRITTEN = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f\u200c\u200d])*")
_LINES = re.compile(r"\n+")


@dataclass(frozen=True)
class Snippet:
    """A text in one line, printable, and the spans of it, as (start, end) in code points, that are words of the
    question. `...` stands where the text that it is of goes on."""

    text: str
    marks: tuple[tuple[int, int], ...] = ()

    def marked(self, before: str, after: str, spelled: Callable[[str], str] = str) -> str:
        """The text with these around each word of the question, and each part of it as `spelled` has it."""
        pieces, end = [], 0
        for start, stop in self.marks:
            pieces += [spelled(self.text[end:start]), before, spelled(self.text[start:stop]), after]
            end = stop
        return "".join([*pieces, spelled(self.text[end:])])


class Snippets:
    """Makes snippets for a question. Words are compared as an index of words compares them in `language`; without one,
    as they are."""

    def __init__(self, question: str, language: Language | None = None) -> None:
        self._analyzers = Analyzers(language or NEUTRAL)
        self._questions = self._analyzers.question(question)

    def of(self, text: str, source_type: str = "", length: int = SHOWN) -> Snippet:
        """The sentence of most words of the question, the first one of several, with what follows it, up to `length`
        code points; the beginning of the text where it has none of the words."""
        has = self._words_in(source_type)
        start = _best_start(text, has)
        line = printable(" ".join(text[start:].split()))
        found = list(_marks(line, has))
        if found and found[0][1] > length:  # a long sentence: it is shown from shortly before its first word
            skipped = found[0][0] - length // 4
            skipped = line.find(" ", skipped, found[0][0]) + 1 or skipped
            start, line = start + 1, line[skipped:]
            found = [(first - skipped, last - skipped) for first, last in found if first >= skipped]
        before = "..." if start else ""
        shown = line[:length]
        after = "..." if len(line) > length else ""
        marks = [(first + len(before), last + len(before)) for first, last in found if last <= len(shown)]
        return Snippet(f"{before}{shown}{after}", tuple(marks))

    def _words_in(self, source_type: str) -> Callable[[str], set[str]]:
        """What tells the words of the question that a text of this source type has."""
        (asked,) = (each for each in self._questions if (source_type in each.source_types) != each.others)
        words = set(asked.words)
        return lambda text: words.intersection(self._analyzers.tokens(text, source_type))


def _best_start(text: str, has: Callable[[str], set[str]]) -> int:
    best, most = 0, 0
    for start, end in _sentences(text):
        count = len(has(text[start:end]))
        if count > most:
            best, most = start, count
    return best


def _marks(line: str, has: Callable[[str], set[str]]) -> Iterator[tuple[int, int]]:
    """The spans of words of the question; in scripts without blanks, of the pairs of characters that are compared
    there, joined where they touch."""
    for word in _WRITTEN.finditer(line):
        start = word.start()
        for place, piece in enumerate(UNSPACED.split(word.group())):
            if place % 2:
                yield from _pairs(piece, start, has)
            elif piece and has(piece):
                yield start, start + len(piece)
            start += len(piece)


def _pairs(run: str, start: int, has: Callable[[str], set[str]]) -> Iterator[tuple[int, int]]:
    first, last = 0, 0
    for place in range(max(len(run) - 1, 1)):
        pair = run[place : place + 2]
        if not has(pair):
            continue
        if last and place > last:
            yield start + first, start + last
            last = 0
        first = first if last else place
        last = place + len(pair)
    if last:
        yield start + first, start + last


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where sentences, or lines, start and end; blanks are part of the one before."""
    start = 0
    for line in [*_LINES.finditer(text), None]:
        end = line.start() if line else len(text)
        for found in SENTENCE_END.finditer(text, start, end):
            if found.end() - 1 > start:
                yield start, found.end() - 1
            start = found.end() - 1
        if end > start:
            yield start, end
        start = line.end() if line else end
