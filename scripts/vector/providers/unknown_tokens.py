"""How much of an input a model's tokenizer does not know: texts of unknown tokens alone all have one vector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vector.providers.base import PreprocessPolicy

# An input with a larger share is quarantined. The default model knows 40% of the words of a Chinese page, which still
# tell its chunks apart.
MOST_UNKNOWN = 2 / 3


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
