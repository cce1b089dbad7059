"""Canaries: sixteen fixed texts whose vectors are the fingerprint of a model, and the comparison of two fingerprints.

They are of many scripts, lengths and kinds, so that another tokenizer, pooling, prefix or quantisation moves some of
them. Their order is none that a server might sort by. Spaces are pinned to their vectors: never change, move or drop
one (a test holds their hash).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vector.errors import InputRefused, ProviderError
from vector.providers.base import EmbeddingProvider, PartlyRefused, PreprocessPolicy, check_reply, reply_tokens

CANARIES = (
    "Which rivers flow into the Black Sea, and how long is each of them?",
    "lighthouse",
    "The keeper of the old harbour wrote down the weather three times a day for almost forty years. Most entries are "
    "short: wind, cloud, the height of the water at the stone steps. But now and then he added something of his own. "
    "In the winter of the great frost he noted that children crossed the bay on foot, and that a fox had been seen on "
    "the ice. In another year the herring did not come, and he gave the names of the families who left the town. After "
    "his death the books lay in a cellar until a teacher found them and read one aloud in school. Today they are used "
    "by people who study how the climate of the coast has changed, because nobody else had counted so patiently.",
    "Утром над портом поднялся туман, и паром ушёл с опозданием на двадцать минут.",
    "def area(radius: float) -> float:\n    return 3.14159 * radius ** 2  # in square metres\n",
    "图书馆每天早上九点开门，星期一除外。",
    "Invoice 2024-03-17: 12 x 4.95 EUR = 59.40 EUR; VAT 19 % = 11.29 EUR; total 70.69 EUR.",
    "اشترى التاجر ثلاثة صناديق من البرتقال من السوق القديم.",
    "Photosynthesis turns light into chemical energy. Chlorophyll absorbs mainly red and blue light, which is why "
    "leaves look green; the energy splits water, oxygen is released, and the hydrogen that remains is used to build "
    "sugars from carbon dioxide. At night the reaction stops, while the plant goes on breathing as animals do.",
    'Wait... what?! (No -- really: "yes"; \'maybe\' / 50:50 & [see] {note} <here>.)',
    "電車が遅れたので、会議は午後三時から始まります。",
    "Über den Dächern von Zürich läutet um zwölf Uhr die größte Glocke der Stadt.",
    '{"id": 7, "tags": ["red", "green"], "price": null, "in_stock": false}',
    "बारिश के बाद बच्चे मैदान में खेलने लगे।",
    "THE PUMP DID NOT FAIL; the valve did not close.",
    "Write to team@example.org or see https://example.org/a/b?c=1#d \N{BICYCLE}",
)  # fmt: skip

# Past these, two vectors of one text are of two models; another build or processor moves a vector less (decision 0009).
MIN_COSINE = 0.999
MAX_NORM_ERROR = 0.01


@dataclass(frozen=True)
class Comparison:
    """How alike the vectors of the same texts are, told twice.

    `lowest_cosine` and `mean_cosine` are over the texts, `norm_error` is the largest relative difference of two norms.
    `reordered` says that they are the same vectors, given to other texts.
    """

    texts: int
    lowest_cosine: float
    mean_cosine: float
    norm_error: float
    reordered: bool

    @property
    def alike(self) -> bool:
        """Whether one model gave both."""
        return self.lowest_cosine >= MIN_COSINE and self.norm_error <= MAX_NORM_ERROR


def compare(known: np.ndarray, found: np.ndarray) -> Comparison:
    """Compares two arrays of shape (texts, dimensions), row by row; at least one row, and no row of zeros."""
    wide = [np.asarray(vectors, dtype=np.float64) for vectors in (known, found)]
    norms = [np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in wide]
    units = [vectors / norm for vectors, norm in zip(wide, norms, strict=True)]
    cosines = np.clip(units[0] @ units[1].T, -1, 1)
    norm_errors = np.abs(norms[1].T / norms[0] - 1)
    own_cosines, own_norm_errors = cosines.diagonal(), norm_errors.diagonal()
    same = (cosines >= MIN_COSINE) & (norm_errors <= MAX_NORM_ERROR)
    return Comparison(
        texts=len(own_cosines),
        lowest_cosine=float(own_cosines.min()),
        mean_cosine=float(own_cosines.mean()),
        norm_error=float(own_norm_errors.max()),
        # Texts may share a vector, so not one by one: each has its like on the other side.
        reordered=bool(not same.diagonal().all() and same.any(axis=0).all() and same.any(axis=1).all()),
    )


class CanaryCalls:
    """Asks the model for the vectors of canaries, and counts what that takes: `tokens` as the server counts them, or
    estimated. `batch_limit` is the most texts a request that the server was found to take, where it refused more."""

    def __init__(self, provider: EmbeddingProvider, policy: PreprocessPolicy, dimensions: int):
        self.provider, self.policy, self.dimensions = provider, policy, dimensions
        self.texts = self.requests = self.tokens = 0
        self.batch_limit: int | None = None
        self.seconds = 0.0

    def embed(self, indexes: Sequence[int], batch_size: int | None = None) -> dict[int, np.ndarray]:
        """The vectors by index, each float32 of shape (dimensions,). Raises ProviderError when a canary is refused."""
        size = batch_size or len(indexes)
        vectors: dict[int, np.ndarray] = {}
        for start in range(0, len(indexes), size):
            vectors |= self._embed_halving(indexes[start : start + size])
        return vectors

    def embed_each(self, indexes: Iterable[int]) -> dict[int, np.ndarray]:
        """The vectors by index, each of a request of its own, but for texts that are too long. Raises ProviderError
        when a canary is refused for another reason."""
        vectors = {}
        for index in indexes:
            try:
                vectors[index] = self._ask([index])[index]
            except InputRefused as error:
                if error.reason != "too_long":
                    raise _canary_refused(index, error) from error
        return vectors

    def _embed_halving(self, indexes: Sequence[int]) -> dict[int, np.ndarray]:
        # Some servers take few texts a request.
        if self.batch_limit is not None and len(indexes) > self.batch_limit:
            return self.embed(indexes, self.batch_limit)
        try:
            return self._ask_again(indexes)
        except InputRefused as error:
            if len(indexes) == 1:
                raise _canary_refused(indexes[0], error) from error
            middle = len(indexes) // 2
            if 0 < (told := getattr(error, "largest", None) or 0) < len(indexes):
                self.batch_limit = told
                return self._embed_halving(indexes)
            found = self._embed_halving(indexes[:middle])
            if error.reason == "batch_too_large":
                self.batch_limit = min(self.batch_limit or middle, middle)
            return found | self._embed_halving(indexes[middle:])

    def _ask_again(self, indexes: Sequence[int]) -> dict[int, np.ndarray]:
        """As `_ask`, and once more where a reply to several texts is not of the protocol. Raises ProviderError when it
        is so again: smaller batches would only cost more."""
        try:
            return self._ask(indexes)
        except InputRefused as error:
            if error.reason != "bad_reply" or len(indexes) == 1:
                raise
        try:
            return self._ask(indexes)
        except InputRefused as error:
            if error.reason != "bad_reply":
                raise
            raise ProviderError(
                f"{error}; they are canaries, asked as one batch: mend the server, or send one text a request"
                " (--batch-size 1)"
            ) from None

    def _ask(self, indexes: Sequence[int]) -> dict[int, np.ndarray]:
        """The vectors of one request, checked. Raises what the provider does, and ProviderError for a bad reply."""
        started = time.perf_counter()
        self.requests += 1
        self.texts += len(indexes)
        texts = [self.policy.document_input(CANARIES[index]) for index in indexes]
        try:
            reply = self.provider.embed(texts)
        except PartlyRefused as error:
            self.tokens += reply_tokens(error.reply, [texts[position] for position in error.kept])
            raise
        finally:
            self.seconds += time.perf_counter() - started
        self.tokens += reply_tokens(reply, texts)
        check_reply(reply, len(indexes), self.dimensions)
        return dict(zip(indexes, reply.vectors, strict=True))


def _canary_refused(index: int, error: InputRefused) -> ProviderError:
    return ProviderError(
        f"the model refuses a canary text, {CANARIES[index][:30]!r}, so it cannot be told whether it is the space's:"
        f" {error}; look at the limits and filters of the server and the space"
    )
