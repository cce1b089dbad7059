"""Words of a text, as lexical search compares them.

- Folded: compatibility forms (NFKC) and case (Unicode case folding) are one, and the diacritics U+0300 to U+036F are
  dropped, so that `Éncélade` is `encelade`. The marks of other scripts, which tell words apart, stay.
- A word is a run of letters, digits and marks. Everything else separates.
- Scripts that put no blanks between words (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar) are cut into bigrams of
  characters, as Lucene's CJKBigramFilter does; a run of one character is itself.
- In a language, a word is its stem, and a question is without the stop words. Stems are made before diacritics go, as
  the stemmers know those of their language, and again where one was left, so that `résumés` is what `resumes` is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain

from vector.search.language import NEUTRAL, OTHERS, Language, by_source_type, stemmer, stop_words

# What a change of these rules changes: indexes of another version are built anew.
VERSION = 2

UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
_DIACRITICS = dict.fromkeys(range(0x300, 0x370))


class _Separated(dict):
    """A table for str.translate, filled as characters come: what is in no word becomes a blank."""

    def __missing__(self, code_point: int) -> int:
        found = code_point if unicodedata.category(chr(code_point))[0] in "LNM" else 0x20
        self[code_point] = found
        return found


# Words of which the tokens are kept at most: names, numbers and slips have no end.
_MOST_FORMS = 2**18


class _Forms(dict):
    """The tokens of words seen so far: words repeat."""

    def __init__(self, language: str):
        self.stem = stemmer(language)

    def __missing__(self, word: str) -> tuple[str, ...]:
        if len(self) >= _MOST_FORMS:
            self.clear()
        found = self[word] = tuple(self._tokens(word))
        return found

    def _tokens(self, word: str) -> Iterator[str]:
        # The odd pieces are those that the pattern captures.
        for place, piece in enumerate(UNSPACED.split(word)):
            if place % 2:
                yield from (piece[i : i + 2] for i in range(max(len(piece) - 1, 1)))
            elif token := self._stemmed(piece):
                yield token

    def _stemmed(self, word: str) -> str:
        if self.stem is None:
            return _without_diacritics(word)
        stem = self.stem(word)
        plain = _without_diacritics(stem)
        return stem if plain == stem else self.stem(plain)


_TABLE = _Separated()


class Analyzer:
    """Makes tokens of texts and questions of one language; `none` takes words as they are.

    It keeps the tokens of words that it saw, of so many at most. Raises ConfigurationError when the stemmer, or the
    stop words, are not installed.
    """

    def __init__(self, language: str = NEUTRAL):
        self._forms = _Forms(language)
        self._stop_words = {word for entry in stop_words(language) for word in _words(entry)}

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, in order, repetitions included."""
        if self._forms.stem is None and text.isascii():
            return _words(text)  # each its own token
        return self._of(_words(text))

    def question(self, text: str) -> list[str]:
        """The tokens of a question: without stop words, unless it has no others."""
        words = _words(text)
        told = [word for word in words if word not in self._stop_words]
        return self._of(told or words)

    def _of(self, words: list[str]) -> list[str]:
        return list(chain.from_iterable(map(self._forms.__getitem__, words)))


class Analyzers:
    """The analyzer of each source type's language. Raises ConfigurationError as Analyzer does."""

    def __init__(self, language: Language = NEUTRAL):
        self._languages = by_source_type(language)
        self._made = {each: Analyzer(each) for each in sorted(set(self._languages.values()))}

    def tokens(self, text: str, source_type: str) -> list[str]:
        """The tokens of a text of a source type."""
        return self._made[self._languages.get(source_type, self._languages[OTHERS])].tokens(text)

    def question(self, text: str) -> list[AskedWords]:
        """The tokens of a question in each language, and the source types whose texts are asked with them."""
        named = self._languages.keys() - {OTHERS}
        asked = []
        for language, analyzer in self._made.items():
            types = {name for name in named if self._languages[name] == language}
            others = self._languages[OTHERS] == language
            asked.append(AskedWords(analyzer.question(text), named - types if others else types, others))
        return asked


@dataclass(frozen=True)
class AskedWords:
    """Tokens of a question, and the source types that they are for; with `others`, all types but those."""

    words: list[str]
    source_types: Collection[str]
    others: bool


def _words(text: str) -> list[str]:
    if text.isascii():
        return text.lower().translate(_TABLE).split()
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Composed, as case folding takes some letters apart.
    return unicodedata.normalize("NFC", folded).translate(_TABLE).split()


def _without_diacritics(word: str) -> str:
    if word.isascii():
        return word
    # Composed again, as NFD takes Hangul apart.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", word).translate(_DIACRITICS))
