"""How a search ranks the candidates: by which scores, how they are fused and reranked, and how many are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from vector.engines.base import Engine
from vector.errors import ConfigurationError
from vector.search.language import NEUTRAL, OTHERS, Language, by_source_type, known_languages, search_language
from vector.search.ranking import RRF_K

MODES = ("dense", "lexical", "hybrid")
# How hybrid joins the two, and what the log calls it.
FUSIONS = {"score": "score_fusion", "rrf": "reciprocal_rank_fusion"}

# Of the vectors in a sum of scores: the best of .4 to .85 on SciFact (docs/search.md).
DENSE_WEIGHT = 0.55

# Candidates of a search that chooses among several: ten a hit, and so many at least.
POOL_PER_HIT = 10
LEAST_POOL = 100


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1 that a ledger holds. True is not, though Python counts it as 1."""
    return type(value) is int and 1 <= value < 2**31


def _is_number(value: Any) -> bool:
    # Not isfinite, which fails on an integer that no double holds.
    return type(value) in (int, float) and -math.inf < value < math.inf


@dataclass(frozen=True)
class SearchPolicy:
    """How the hits of a search are chosen.

    mode        dense (vectors), lexical (BM25) or hybrid (both)
    min_score   the least score of a hit, as it is printed
    per_source  the most hits of one source
    mmr         the trade-off of maximal marginal relevance, 0 (unlike each other) to 1 (like the question)
    rerank      a reranker: the name of an entry point, or module:function
    pool        candidates of each part of hybrid, of MMR and of the reranker; by default ten a hit, at least 100
    fusion      how hybrid joins them: score (a weighted sum of both scores, each brought to 0 to 1) or rrf
    dense_weight  of the vectors' score in that sum, 0 to 1; the words' has the rest. Less where the model hardly knows
                the question's language: each hit's components have what it was
    rrf_k       the constant of reciprocal rank fusion
    language    the language of the words that are compared, or none, or a mapping of these by source type, `*` for
                all others; by default the warehouse's
    evidence_max_tokens  the budget of the evidence that the hits are for; changes no hit, and is logged with them

    Raises ConfigurationError on a value that is none of these.
    """

    mode: str = "dense"
    min_score: float | None = None
    per_source: int | None = None
    mmr: float | None = None
    rerank: str | None = None
    pool: int | None = None
    fusion: str = "score"
    dense_weight: float = DENSE_WEIGHT
    rrf_k: int = RRF_K
    language: Language | None = None
    evidence_max_tokens: int | None = None

    def __post_init__(self) -> None:
        self._require(self.mode in MODES, "mode", f"one of {', '.join(MODES)}")
        self._require(self.min_score is None or _is_number(self.min_score), "min_score", "a finite number")
        self._require(self.per_source is None or is_count(self.per_source), "per_source", "a whole number from 1")
        self._require(self.mmr is None or (_is_number(self.mmr) and 0 <= self.mmr <= 1), "mmr", "a number from 0 to 1")
        self._require(self.rerank is None or isinstance(self.rerank, str), "rerank", "the name of a reranker")
        for name in ("pool", "evidence_max_tokens"):
            value = getattr(self, name)
            self._require(value is None or is_count(value), name, "a whole number from 1")
        self._require(self.fusion in tuple(FUSIONS), "fusion", f"one of {', '.join(FUSIONS)}")
        weighs = _is_number(self.dense_weight) and 0 <= self.dense_weight <= 1
        self._require(weighs, "dense_weight", "a number from 0 to 1")
        self._require(_is_number(self.rrf_k) and self.rrf_k >= 0, "rrf_k", "a number from 0")
        if self.language not in (None, NEUTRAL):
            self._check_language(self.language)

    def _require(self, right: bool, name: str, wanted: str) -> None:
        if not right:
            raise ConfigurationError(f"search policy: {name} is {getattr(self, name)!r}; it must be {wanted}")

    def _check_language(self, language: Any) -> None:
        known = known_languages()
        if isinstance(language, str):
            self._require(language in known, "language", f"one of {', '.join(known)}")
            return
        wanted = f"a language, or a mapping of source types to languages, with {OTHERS!r} for all others"
        self._require(isinstance(language, dict) and OTHERS in language, "language", wanted)
        for each in by_source_type(language).values():
            self._require(each in known, "language", f"of {', '.join(known)} for each source type")

    @property
    def has_pool(self) -> bool:
        """Whether hits are chosen among a pool of candidates. Otherwise the order is that of one score over all."""
        return self.mode == "hybrid" or self.mmr is not None or self.rerank is not None

    def in_warehouse(self, engine: Engine) -> SearchPolicy:
        """The policy, in the warehouse's language where it compares words and names none itself."""
        if self.mode == "dense" or self.language:
            return self
        return replace(self, language=search_language(engine))

    def pool_size(self, top_k: int) -> int:
        """The number of candidates of a part."""
        return max(self.pool or max(POOL_PER_HIT * top_k, LEAST_POOL), top_k)

    def to_json(self, top_k: int, distance_metric: str) -> dict[str, Any]:
        """The policy as the log keeps it: what is not used is left out."""
        used = {
            "method": self.mode,
            "distance_metric": distance_metric if self.mode != "lexical" else None,
            "fusion": self._fusion_json() if self.mode == "hybrid" else None,
            "bm25": _bm25(self.language) if self.mode != "dense" else None,
            "pool": self.pool_size(top_k) if self.has_pool else None,
            "min_score": self.min_score,
            "per_source": self.per_source,
            "mmr": self.mmr,
            "rerank": self.rerank,
            "evidence_max_tokens": self.evidence_max_tokens,
        }
        return {name: value for name, value in used.items() if value is not None}

    def _fusion_json(self) -> dict[str, Any]:
        setting: dict[str, Any] = {"k": self.rrf_k} if self.fusion == "rrf" else {"dense_weight": self.dense_weight}
        return {"name": FUSIONS[self.fusion], **setting}

    def asked_json(self, top_k: int) -> dict[str, Any]:
        """The policy as it is asked of any space: without the metric, which is the space's own. `asked_policy_json` of
        the marts is this."""
        policy = self.to_json(top_k, "")
        policy.pop("distance_metric", None)
        return policy

    @property
    def needs_model(self) -> bool:
        """Whether the question becomes a vector."""
        return self.mode != "lexical"

    @classmethod
    def from_json(cls, policy: dict[str, Any] | None) -> SearchPolicy:
        """The policy of a logged search. Raises ConfigurationError on one that cannot be followed."""
        given = policy or {}
        bm25, fusion = (given.get(name) or {} for name in ("bm25", "fusion"))
        for name, value in (("bm25", bm25), ("fusion", fusion)):
            if not isinstance(value, dict):
                raise ConfigurationError(f"search policy: {name} is {value!r}; it must be an object")
        names = ("min_score", "per_source", "mmr", "rerank", "pool", "evidence_max_tokens")
        return cls(
            mode=given.get("method", "dense"),
            fusion=next((name for name, logged in FUSIONS.items() if logged == fusion.get("name", logged)), "unknown"),
            dense_weight=fusion.get("dense_weight", DENSE_WEIGHT),
            rrf_k=fusion.get("k", RRF_K),
            language=bm25.get("language", NEUTRAL) if bm25 else None,
            **{name: given.get(name) for name in names},
        )


DENSE = SearchPolicy()
# What a search does that names no policy.
HYBRID = SearchPolicy("hybrid")
# How evaluations ask: judgments are of sources, so with one hit a source, `top_k` hits are as many sources.
BY_SOURCE = SearchPolicy(per_source=1)


def _bm25(language: Language | None) -> dict[str, Any]:
    from vector.search.postings import K1, B

    return {"k1": K1, "b": B, **({} if language in (None, NEUTRAL) else {"language": language})}
