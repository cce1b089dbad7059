"""How much of a text a model's tokenizer does not know, or only letter by letter.

Texts of unknown tokens alone all have one vector. A text that is spelled out has a vector of its own, which says
little: a model was trained on few texts of a language that its tokenizer has few words of. So its fertility, tokens a
word, tells how well a model does in a language (Rust et al. 2021, "How Good is Your Tokenizer?", ACL); here it is
tokens a letter, as words have no ends in some scripts.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vector.providers.base import PreprocessPolicy

# An input with a larger share is quarantined. The default model knows 40% of the words of a Chinese page, which still
# tell its chunks apart.
MOST_UNKNOWN = 2 / 3

# Tokens a letter up to which a text is read well, and from which it is spelled out. Of XQuAD's questions, the default
# model has .23 in English, .36 in Spanish and .37 in German, .8 and more in Arabic, Hindi and Russian.
READ, SPELLED = 0.25, 0.5
# Scripts whose words have no blanks between them: there a token is a word, or a part of one, if it is a letter.
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),
)  # fmt: skip


def unknown_token(tokenizer: Any, path: Path) -> int | None:
    """The id that stands for what the tokenizer does not know; None where it knows everything, as those do that fall
    back to bytes. Models of the type Unigram name it by id."""
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    unknown = model.get("unk_token")
    return model.get("unk_id") if unknown is None else tokenizer.token_to_id(unknown)


class UnknownTokens:
    """Tells the share of a text's tokens that are unknown.

    Tokens without a letter or digit, and the words of a document's own prefix and template, say nothing of a text and
    are not counted. A text of which the tokenizer leaves nothing, of control characters say, is unknown as a whole:
    such texts, too, have one vector.
    """

    def __init__(self, tokenizer: Any, path: Path, policy: PreprocessPolicy):
        self.token = unknown_token(tokenizer, path)
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        self._special = set(tokenizer.encode("").ids)
        without_letters = {number for token, number in vocabulary.items() if not any(map(str.isalnum, token))}
        self._wordless = self._special | without_letters
        # A question's may be another, and is only warned of.
        self._empty = self._inner(tokenizer.encode(policy.document_input("")).ids)
        self._dress = self._known(self._empty)

    def share(self, ids: Sequence[int]) -> float:
        """The share of an input's tokens that are unknown, 0 to 1."""
        if self._inner(ids) == self._empty:
            return 1.0
        unknown = 0 if self.token is None else ids.count(self.token)
        return unknown / (unknown + max(0, self._known(ids) - self._dress)) if unknown else 0.0

    def _inner(self, ids: Sequence[int]) -> list[int]:
        return [number for number in ids if number not in self._special]

    def _known(self, ids: Sequence[int]) -> int:
        return sum(number != self.token and number not in self._wordless for number in ids)

    def fertility(self, text: str) -> float:
        """Tokens a letter of a text, at least 0; an unknown token counts as one a letter, and a letter of a script
        without blanks as a quarter, as in English. 0 for a text without letters."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        tokens = 0.0
        for piece in (encoding, *encoding.overflowing):
            for number, (start, end) in zip(piece.ids, piece.offsets, strict=True):
                tokens += self._weight(number, [each for each in text[start:end] if _is_letter(each)])
        letters = sum(map(_is_letter, text))
        return tokens / letters if letters else 0.0

    def _weight(self, number: int, letters: list[str]) -> float:
        if number == self.token:
            return len(letters)
        unspaced = sum(map(_is_unspaced, letters))
        return unspaced / 4 if unspaced else float(bool(letters))


def reading(fertility: float) -> float:
    """How well a model reads a text of that fertility: from 1, as English, to 0, where it is spelled out."""
    return min(1.0, max(0.0, (SPELLED - fertility) / (SPELLED - READ)))


def _is_letter(character: str) -> bool:
    return character.isalpha() or unicodedata.category(character)[0] == "M"


def _is_unspaced(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _UNSPACED)
