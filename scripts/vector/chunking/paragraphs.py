"""Paragraphs: the Python reference of the chunk policies of method `paragraphs`, which SQL must equal.

`macros/chunking/paragraph_ctes.sql` is the other half of this module; tests compare the two. Offsets are code points.

1. Lines are put together in groups. A line starts at a character that is no line feed, after a line feed. The text is
   laid out in stretches of half a chunk, rounded up; of the line feeds before a line that lie in one stretch, the first
   begins a group there. The text itself begins the first group, whatever lines start in its first stretch.
2. A group of at most `chunk_size` is one window.
3. A longer group of length L is cut into n = ceil(L / step) windows, where reach = chunk_size // 4 and
   step = chunk_size - reach - overlap. Cut i is looked for from start + i * L // n on, within the reach (`_cut`). A
   window ends at a cut; the next one starts there, or, with an overlap, at what is found from so much earlier on.

So no window is longer than `chunk_size`, there is no gap between two, and without an overlap none is in two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vector.chunking.windows import ChunkingPolicy
from vector.contracts.sentences import SENTENCE_END, SPACES

_LINE_START = re.compile(r"\n(?=[^\n])")
_SPACE = re.compile(f"[{SPACES}]")
_SPACES = re.compile(f"[{SPACES}]*")


@dataclass(frozen=True)
class ParagraphPolicy(ChunkingPolicy):
    """How texts are cut at lines, sentences and words; sizes in code points.

    Raises ValueError as ChunkingPolicy does, and where `overlap` is three quarters of `chunk_size` or more.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overlap >= self.chunk_size - self.chunk_size // 4:
            raise ValueError("overlap must be less than three quarters of chunk_size")

    def windows(self, text: str) -> Iterator[tuple[str, int, int]]:
        """The windows of the text in order as (content, start, end), not capped; offsets are code points. Of a group
        that is cut, the last one is empty where spaces only are left."""
        for start, end in _groups(text, -(-self.chunk_size // 2)):
            for first, last in self._cuts(text, start, end):
                yield text[first:last], first, last

    def to_dict(self) -> dict[str, Any]:
        """The settings, and the method."""
        return {**super().to_dict(), "method": "paragraphs"}

    def _cuts(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        length = end - start
        if length <= self.chunk_size:
            yield start, end
            return
        reach = self.chunk_size // 4
        count = -(-length // (self.chunk_size - reach - self.overlap))
        for index in range(count):
            first, last = start, end
            if index:
                earliest = max(start, start + index * length // count - self.overlap)
                first = _cut(text, earliest, min(end, earliest + reach))
            if index < count - 1:
                latest = start + (index + 1) * length // count
                last = _cut(text, latest, min(end, latest + reach))
            yield first, last


def _groups(text: str, stretch: int) -> Iterator[tuple[int, int]]:
    """Where groups of lines start and end, in order."""
    if not text:
        return
    start, reached = 0, 0
    for found in _LINE_START.finditer(text):
        number = found.start() // stretch
        if number > reached:
            yield start, found.end()
            start, reached = found.end(), number
    yield start, len(text)


def _cut(text: str, start: int, end: int) -> int:
    """Where the first sentence starts that starts after another one in text[start:end]; else the first word after a
    space; else `start`. Where spaces only follow up to the end, the end."""
    sentence = SENTENCE_END.search(text, start, end)
    if sentence:
        return _SPACES.match(text, sentence.end() - 1, end).end()  # type: ignore[union-attr]
    space = _SPACE.search(text, start, end)
    return _SPACES.match(text, space.start(), end).end() if space else start  # type: ignore[union-attr]
