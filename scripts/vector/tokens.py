"""Words of a text, as lexical search compares them.

- Folded: compatibility forms (NFKC) and case (Unicode case folding) are one, and the diacritics U+0300 to U+036F are
  dropped, so that `Éncélade` is `encelade`. The marks of other scripts, which tell words apart, stay.
- A word is a run of letters, digits and marks. Everything else separates.
- Scripts that put no blanks between words (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar) are cut into bigrams of
  characters, as Lucene's CJKBigramFilter does; a run of one character is itself.
- No stemming and no stop words: both depend on the language, and the weights of BM25 already make frequent words light.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# What a change of these rules changes: indexes of another version are built anew.
VERSION = 1

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]+"
)


class _Separated(dict):
    """A table for str.translate, filled as characters come: what is in no word becomes a blank, a diacritic nothing."""

    def __missing__(self, code_point: int) -> int | None:
        if 0x300 <= code_point <= 0x36F:
            found = None
        else:
            found = code_point if unicodedata.category(chr(code_point))[0] in "LNM" else 0x20
        self[code_point] = found
        return found


_TABLE = _Separated()


def tokenise(text: str) -> list[str]:
    """The tokens of a text, in order, repetitions included."""
    folded = text if text.isascii() else unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    # Composed again, as NFD takes Hangul and the voiced kana apart.
    separated = unicodedata.normalize("NFC", (folded.lower() if text.isascii() else folded).translate(_TABLE))
    words = separated.split()
    return words if separated.isascii() else [token for word in words for token in _cut(word)]


def _cut(word: str) -> Iterator[str]:
    """A word as itself, runs of unspaced scripts in it as bigrams."""
    end = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        characters = run.group()
        yield from (characters[i : i + 2] for i in range(max(len(characters) - 1, 1)))
        end = run.end()
    if end < len(word):
        yield word[end:]
