"""DRIFT_TEST: asks the same questions twice and measures how far the answers differ.

Input (described in docs/operations.md), either

    space_key_a, space_key_b   the spaces to ask in; both needed
    query_set                  a set of the seed `eval_query`; by default all questions
    top_k                      hits a question, 100 by default
    per_source                 the most hits of one source, 1 by default; null: no limit
    source_types               only chunks of these types are searched
    mode, min_score, mmr, rerank, pool, language
                               how both are searched, as for RETRIEVE_TEST

or, of searches that are logged already,

    run_id_a, run_id_b         two runs of RETRIEVE_TEST, of one space by two policies, say, for the same number of hits
                               by the same filters; questions that only one of them asked are counted and left out

Compared are rankings of sources, as RETRIEVE_TEST ranks them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from vector.contracts import ledgers
from vector.contracts.models import VectorRetrieval
from vector.engines.filters import SearchFilters
from vector.errors import InvalidRecord, UnusableInput
from vector.evaluation.intervals import measure_run
from vector.evaluation.questions import DEFAULT_TOP_K, ask, ranked_sources, read_questions
from vector.jobs.context import JobContext
from vector.jobs.handlers.input_schema import (
    POLICY,
    QUERY_SET,
    SOURCE_TYPES,
    SPACE_KEY,
    TOP_K,
    check_policy,
    checked_input,
    policy_of,
)
from vector.search.policy import BY_SOURCE
from vector.store import VectorStore, ledger_io
from vector.store.spaces import space_of_key

_RUN_ID = {"type": "string", "minLength": 1, "maxLength": 36, "description": "the run_id of a RETRIEVE_TEST"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "space_key_a": SPACE_KEY,
        "space_key_b": SPACE_KEY,
        "run_id_a": _RUN_ID,
        "run_id_b": _RUN_ID,
        "query_set": QUERY_SET,
        "top_k": TOP_K,
        "source_types": SOURCE_TYPES,
        **POLICY,
    },
}
_PAIRS = (("space_key_a", "space_key_b"), ("run_id_a", "run_id_b"))


def validate(input_json: dict[str, Any]) -> dict[str, Any]:
    """The input with its defaults. Raises InvalidRecord that names the key and what to give."""
    given = checked_input(input_json, SCHEMA, "DRIFT_TEST")
    pairs = [pair for pair in _PAIRS if any(key in given for key in pair)]
    if len(pairs) != 1 or not all(key in given for key in pairs[0]):
        raise InvalidRecord("DRIFT_TEST input: give space_key_a and space_key_b, or run_id_a and run_id_b")
    first, second = pairs[0]
    if given[first] == given[second]:
        raise InvalidRecord(f"DRIFT_TEST input, key {second}: is the same as {first}; give another one")
    if first == "space_key_a":
        check_policy(given, "DRIFT_TEST")
        return {"top_k": DEFAULT_TOP_K, "per_source": BY_SOURCE.per_source, "source_types": [], **given}
    for key in ("query_set", "top_k", "source_types", *POLICY):
        if key in given:
            raise InvalidRecord(f"DRIFT_TEST input, key {key}: the runs have asked already; leave it out")
    return given


def require(store: VectorStore, given: dict[str, Any]) -> None:
    """Raises UnusableInput when a space, a question or a run is missing."""
    for key in ("space_key_a", "space_key_b"):
        if key in given:
            space_of_key(store, given[key])
    if "space_key_a" in given:
        read_questions(store, given.get("query_set"))
    for key in ("run_id_a", "run_id_b"):
        if key in given and store.get_run(given[key]) is None:
            raise UnusableInput(f"there is no run {given[key]!r}; give {SCHEMA['properties'][key]['description']}")


def run(context: JobContext) -> dict[str, Any]:
    """Asks, or reads what was asked, and compares. Metrics: the input, `top_k`, `filters`, and `policy`, or of two runs
    `policy_a`, `policy_b` and the keys of their spaces; `queries`, by question id, and `mean`, each with `overlap@10`
    and `jaccard`, null and left out of the mean where both found nothing.

    Raises UnusableInput when a space, a run or the questions are missing, or the runs did not ask alike, and as
    read_questions and vector.retrieval.search do.
    """
    given = validate(context.job.input_json)
    asked, rankings = (_logged if "run_id_a" in given else _asked)(context, given)
    measure_run(context.store, context.run.run_id)
    echoed = {key: value for key, value in given.items() if key != "source_types" and key not in POLICY}
    return {**echoed, **asked, **_compared(*rankings)}


def _asked(context: JobContext, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, list[str]]]]:
    """How the questions were asked in both spaces, and the rankings of each."""
    spaces = [space_of_key(context.store, given[key]) for key in ("space_key_a", "space_key_b")]
    questions = read_questions(context.store, given.get("query_set"))
    policy = policy_of(given).in_warehouse(context.store.engine)
    top_k, source_types = given["top_k"], given["source_types"]
    rankings = [
        ask(
            context.store,
            context.run.run_id,
            space,
            questions,
            top_k,
            source_types,
            policy,
            before_each=lambda asked: context.keep_going(f"{asked} questions"),
        )
        for space in spaces
    ]
    return {"filters": SearchFilters(tuple(source_types)).to_json(), "policy": policy.asked_json(top_k)}, rankings


def _logged(context: JobContext, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, list[str]]]]:
    """How both runs asked, and the rankings of each."""
    store, run_ids = context.store, [given["run_id_a"], given["run_id_b"]]
    searches = [_questions_of(store, run_id) for run_id in run_ids]
    a, b = (_way_of(store, *each) for each in zip(run_ids, searches, strict=True))
    alike = "their rankings would differ for that alone, so compare runs that asked alike"
    if a.top_k != b.top_k:
        raise UnusableInput(f"run {run_ids[0]} asked for {a.top_k} hits, run {run_ids[1]} for {b.top_k}; {alike}")
    if a.filters != b.filters:
        with_a, with_b = (each.filters or "no filter" for each in (a, b))
        raise UnusableInput(f"run {run_ids[0]} asked with {with_a}, run {run_ids[1]} with {with_b}; {alike}")
    asked = {
        "space_key_a": a.space_key, "space_key_b": b.space_key, "top_k": a.top_k, "filters": a.filters,
        "policy_a": a.policy, "policy_b": b.policy,
    }  # fmt: skip
    return asked, [_logged_rankings(store, *each) for each in zip(run_ids, searches, strict=True)]


def _compared(a: Mapping[str, Sequence[str]], b: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    common = sorted(a.keys() & b.keys())
    if not common:
        raise UnusableInput("the two runs have no question in common; compare runs over one query set")
    queries = {
        query_id: {
            "overlap@10": overlap(a[query_id], b[query_id], 10),
            "jaccard": jaccard(a[query_id], b[query_id]),
        }
        for query_id in common
    }
    return {
        "query_count": len(common),
        "queries_only_in_a": len(a.keys() - b.keys()),
        "queries_only_in_b": len(b.keys() - a.keys()),
        "mean": {name: _mean(row[name] for row in queries.values()) for name in ("overlap@10", "jaccard")},
        "queries": queries,
    }


def overlap(a: Sequence[str], b: Sequence[str], k: int) -> float | None:
    """The share of the first k that both rankings hold, by k, or by the longer one where both are shorter than k. None
    where both are empty."""
    length = min(k, max(len(a), len(b)))
    return len(set(a[:k]).intersection(b[:k])) / length if length else None


def jaccard(a: Sequence[str], b: Sequence[str]) -> float | None:
    """The ids that both rankings hold, by those that either does (Jaccard, 1912). None where both are empty."""
    either = len(set(a).union(b))
    return len(set(a).intersection(b)) / either if either else None


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fsum(defined) / len(defined) if defined else None


@dataclass(frozen=True)
class _Way:
    """How a run asked; `policy` without the metric, which is the space's own."""

    space_key: str | None
    top_k: int
    filters: dict[str, Any] | None
    policy: dict[str, Any]


def _way_of(store: VectorStore, run_id: str, searches: Iterable[VectorRetrieval]) -> _Way:
    ways: list[_Way] = []
    keys = {each.embedding_space_id: each.space_key for each in store.list_embedding_spaces(active_only=False)}
    for each in searches:
        policy = {name: value for name, value in (each.policy or {}).items() if name != "distance_metric"}
        way = _Way(keys[each.embedding_space_id], each.top_k, each.filters or None, policy)
        if way not in ways:
            ways.append(way)
    if len(ways) != 1:
        what = "asked in several ways" if ways else "has logged no question of eval_query"
        raise UnusableInput(f"run {run_id} {what}; give a run of RETRIEVE_TEST")
    return ways[0]


def _questions_of(store: VectorStore, run_id: str) -> list[VectorRetrieval]:
    """The searches for evaluation questions that a run has logged, the earliest first."""
    retrievals = ledger_io.find(store.engine, ledgers.RETRIEVAL, {"run_id": run_id}, order="created_utc")
    return [each for each in retrievals if each.eval_query_id]


def _logged_rankings(store: VectorStore, run_id: str, searches: Iterable[VectorRetrieval]) -> dict[str, list[str]]:
    """The rankings of sources by question of the searches that a run has logged, the earliest first."""
    asked = {each.retrieval_id: str(each.eval_query_id) for each in searches}
    hits: dict[str, list[tuple[str | None, str]]] = {retrieval_id: [] for retrieval_id in asked}
    for retrieval_id, source_id, chunk_id in store.engine.query(
        "select hit.retrieval_id, chunk.source_id, hit.chunk_id"
        f" from {store.engine.table('retrieval_hit')} as hit"
        f" inner join {store.engine.table('retrieval')} as retrieval on retrieval.retrieval_id = hit.retrieval_id"
        f" left join {store.engine.table('chunk')} as chunk on chunk.chunk_id = hit.chunk_id"
        " where retrieval.run_id = ? and retrieval.eval_query_id is not null order by hit.retrieval_id, hit.rank",
        [run_id],
    ):
        hits[retrieval_id].append((source_id, chunk_id))
    # Of a question that was asked twice, the last search counts: it overwrites the one before.
    return {asked[retrieval_id]: ranked_sources(found) for retrieval_id, found in hits.items()}
