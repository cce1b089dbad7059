"""Evidence: what a chat runtime puts into a prompt, as passages of sources within a budget of tokens.

The hits of a search, the best first, each taken whole or not at all:

- A text that is there already, under another chunk, is not given twice.
- Chunks of one source that overlap or follow each other become one passage, in the order of the text.
- A hit that would break the budget is left out, and those after it may still fit. Only the best hit is cut, where it
  alone is too long: after a word, or in a script without blanks after a character.

What was left out is said. The same hits, budget and tokenizer give the same evidence.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vector.contracts.identity import compute_content_hash
from vector.contracts.models import EmbeddingSpace
from vector.errors import ConfigurationError
from vector.providers import EmbeddingProvider, estimated_tokens, token_counter
from vector.search.policy import HYBRID, SearchPolicy
from vector.search.results import Results
from vector.search.search import FoundChunk, SearchResult, search
from vector.store import VectorStore
from vector.wording import counted, excerpt

logger = logging.getLogger(__name__)

DEFAULT_MAX_TOKENS = 2000
DUPLICATE, OVER_BUDGET = "duplicate", "over_budget"

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class Passage:
    """A text of one source, and the hits that it is made of, in the order of the text.

    The offsets are code points of the source's text, the end exclusive: None where the hit's chunk has none. `tokens`
    are those of `content`.
    """

    hits: tuple[FoundChunk, ...]
    content: str
    start_offset: int | None
    end_offset: int | None
    tokens: int = 0

    @property
    def best(self) -> FoundChunk:
        """The hit that ranks first."""
        return min(self.hits, key=lambda hit: hit.rank)

    @property
    def truncated(self) -> bool:
        """Whether the end of its text was cut off for the budget."""
        return not all(hit.content in self.content for hit in self.hits)

    def to_dict(self, retrieval_id: str | None) -> dict[str, Any]:
        """The passage for JSON, with what an answer is traced by."""
        best = self.best
        return {
            "retrieval_id": retrieval_id,
            "rank": best.rank,
            "score": best.score,
            "source_id": best.source_id,
            "source_type": best.source_type,
            "source_title": best.source_title,
            "context": best.context,
            "source_ref": best.source_ref,
            "start_offset": self.start_offset,
            "end_offset": self.end_offset,
            "content": self.content,
            "content_sha256": compute_content_hash(self.content),
            "tokens": self.tokens,
            "truncated": self.truncated,
            "chunks": [_chunk_dict(hit) for hit in self.hits],
        }


@dataclass(frozen=True, repr=False)
class Evidence(Results[Passage]):
    """The passages, whose sequence it is, the one with the best hit first, and `left_out`: hits by rank, each with
    DUPLICATE or OVER_BUDGET.

    `tokens_by` says how tokens were counted: by the space's "tokenizer", or estimated from "bytes".
    """

    COLUMNS = {
        "retrieval_id": "text", "rank": "integer", "score": "real", "source_id": "text", "source_type": "text",
        "source_title": "text", "source_ref": "json", "start_offset": "integer", "end_offset": "integer",
        "context": "text", "content": "text", "content_sha256": "text", "tokens": "integer",
        "truncated": "boolean", "chunks": "json",
    }  # fmt: skip

    result: SearchResult
    passages: list[Passage]
    left_out: list[tuple[FoundChunk, str]]
    max_tokens: int
    tokens_by: str

    @property
    def retrieval_id(self) -> str | None:
        """What the log knows the search by; None where it was not logged."""
        return self.result.retrieval_id

    @property
    def items(self) -> list[Passage]:
        """The passages."""
        return self.passages

    @property
    def title(self) -> str:
        """The question, how many passages it has, and of how many tokens."""
        question = excerpt(self.result.retrieval.query_text)
        return f"{counted(len(self.passages), 'passage')} of {self.tokens} tokens for {question!r}"

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary a passage, with what an answer is traced by."""
        return [passage.to_dict(self.retrieval_id) for passage in self.passages]

    @property
    def tokens(self) -> int:
        """Of all passages, at most `max_tokens`."""
        return _tokens(self.passages)

    def to_dict(self) -> dict[str, Any]:
        """The evidence for JSON: what SearchResult has, with `passages` and `left_out` in place of `hits`."""
        asked = self.result.question_dict()
        return {
            **asked,
            "max_tokens": self.max_tokens,
            "tokens": self.tokens,
            "tokens_by": self.tokens_by,
            "passages": self.rows(),
            "left_out": [
                {**_chunk_dict(hit), "source_id": hit.source_id, "reason": reason} for hit, reason in self.left_out
            ],
        }


def evidence(
    store: VectorStore,
    space: EmbeddingSpace,
    provider: EmbeddingProvider | None,
    query: str,
    max_tokens: int = DEFAULT_MAX_TOKENS,
    top_k: int = 10,
    *,
    policy: SearchPolicy = HYBRID,
    **asked: Any,
) -> Evidence:
    """Searches, and makes passages of the hits whose texts have `max_tokens` tokens together, or fewer.

    `asked` are the other arguments of vector.search.search.search. It is logged as any search: all hits, and the budget
    as `evidence_max_tokens` of the policy. Raises as `search` does, and ConfigurationError on a budget that is no whole
    number from 1.
    """
    if max_tokens is None:
        raise ConfigurationError("max_tokens is None; give a whole number from 1")
    policy = replace(policy, evidence_max_tokens=max_tokens)
    store = store.latest()
    result = search(store, space, provider, query, top_k, policy=policy, **asked)
    return evidence_of(result, max_tokens, *tokens_of(space))


def tokens_of(space: EmbeddingSpace) -> tuple[CountTokens, str]:
    """What counts the tokens of a text, without the special ones of a model's input, and its `tokens_by`.

    The tokenizer of the space's model where that is in this process and its files are there; else one token for three
    bytes of UTF-8, which is rather too many than too few.
    """
    try:
        counter = token_counter(space)
    except ConfigurationError as error:  # a search by words needs no model
        logger.warning("space %s: tokens are estimated from bytes: %s", space.space_key, error)
        counter = None
    if counter is None:
        return estimated_tokens, "bytes"
    (special,) = counter([""])
    return lambda text: counter([text])[0] - special, "tokenizer"


def evidence_of(result: SearchResult, max_tokens: int, count: CountTokens, tokens_by: str) -> Evidence:
    """The evidence that a search's hits give: a function of nothing else."""
    passages: list[Passage] = []
    left_out: list[tuple[FoundChunk, str]] = []
    texts: set[str] = set()
    room = max_tokens
    for hit in sorted(result.hits, key=lambda each: each.rank):
        if hit.content_sha256 in texts:
            left_out.append((hit, DUPLICATE))
            continue
        joined, apart = _joined(_of_hit(hit), passages)
        joined = replace(joined, tokens=count(joined.content))
        grown = joined.tokens - _tokens(passages) + _tokens(apart)
        if grown > room and not passages and not left_out:
            joined = _cut(joined, room, count)
            grown = joined.tokens
        if grown > room or not joined.content:
            left_out.append((hit, OVER_BUDGET))
            continue
        passages, room = [*apart, joined], room - grown
        texts.add(hit.content_sha256)
    passages.sort(key=lambda passage: passage.best.rank)
    return Evidence(result, passages, left_out, max_tokens, tokens_by)


def _of_hit(hit: FoundChunk) -> Passage:
    return Passage((hit,), hit.content, hit.start_offset, hit.end_offset)


def _joined(passage: Passage, others: list[Passage]) -> tuple[Passage, list[Passage]]:
    """The passage with all that it touches, and those others that it does not."""
    apart = []
    for other in others:
        both = _join(passage, other)
        if both is None:
            apart.append(other)
        else:
            passage = both
    return passage, apart


def _join(one: Passage, other: Passage) -> Passage | None:
    """Both as one text, what they share once; None unless they are of one source and overlap or follow each other. What
    they share must be the same in both: offsets are what somebody wrote."""
    placed = [(place, each) for each in (one, other) if (place := _place(each))]
    if one.best.source_id is None or one.best.source_id != other.best.source_id or len(placed) < 2:
        return None
    ((start, end), first), ((begin, stop), second) = sorted(placed, key=lambda each: each[0])
    shared = min(end, stop) - begin
    if shared < 0 or first.content[begin - start :][:shared] != second.content[:shared]:
        return None
    hits = sorted(first.hits + second.hits, key=lambda hit: (hit.start_offset, hit.end_offset, hit.rank))
    return Passage(tuple(hits), first.content + second.content[shared:], start, max(end, stop))


def _place(passage: Passage) -> tuple[int, int] | None:
    """Its offsets, where they say how long its text is."""
    start, end = passage.start_offset, passage.end_offset
    return (start, end) if start is not None and end is not None and end - start == len(passage.content) else None


def _tokens(passages: list[Passage]) -> int:
    return sum(passage.tokens for passage in passages)


def _cut(passage: Passage, room: int, count: CountTokens) -> Passage:
    """The beginning of the passage that has at most `room` tokens; empty where not even a character does."""
    text = passage.content
    for ends in (_word_ends(text), _character_ends(text)):
        if best := _longest(text, ends, room, count):
            place = _place(passage)
            end = place[0] + best if place else None
            return replace(passage, content=text[:best], end_offset=end, tokens=count(text[:best]))
    return replace(passage, content="", tokens=0)


def _word_ends(text: str) -> list[int]:
    return [i for i in range(1, len(text)) if text[i].isspace() and not text[i - 1].isspace()]


def _character_ends(text: str) -> list[int]:
    """Where a mark that belongs to the character before it does not follow."""
    return [i for i in range(1, len(text)) if unicodedata.category(text[i])[0] != "M" and text[i] != "\u200d"]


def _longest(text: str, ends: list[int], room: int, count: CountTokens) -> int:
    """The last of the ends up to which the text has at most `room` tokens; 0 where none is."""
    best, low, high = 0, 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if count(text[: ends[middle]]) <= room:
            best, low = ends[middle], middle + 1
        else:
            high = middle
    return best


def _chunk_dict(hit: FoundChunk) -> dict[str, Any]:
    names = ("rank", "score", "chunk_id", "content_sha256", "start_offset", "end_offset")
    return {name: getattr(hit, name) for name in names}
