"""The questions of a query set, asked in a space, and their rankings of sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from vector.contracts.models import EmbeddingSpace
from vector.errors import ConfigurationError, InvalidRecord, UnusableInput
from vector.jobs.progress import keep_going
from vector.providers import open_provider
from vector.search.policy import BY_SOURCE, SearchPolicy
from vector.search.search import search
from vector.store.store import VectorStore

# Hits a question: as many sources, as there is one hit a source by default, as the deepest metric looks at.
DEFAULT_TOP_K = 100
TOP_K = {"type": "integer", "minimum": 1, "maximum": 10_000, "description": "a number of hits from 1 to 10000"}
QUERY_SET = {"type": "string", "minLength": 1, "description": "a query_set of the seed eval_query"}

_COUNT = {"type": "integer", "maximum": 2**31 - 1, "description": "a number from 1"}
# The keys of a search policy in a job's input: what JSON they are. Their values are checked by SearchPolicy.
POLICY = {
    "mode": {"type": "string", "description": "one of dense, lexical, hybrid"},
    "min_score": {"type": "number", "description": "a finite number"},
    "per_source": {**_COUNT, "type": ["integer", "null"], "description": "a number from 1, or null for no limit"},
    "mmr": {"type": "number", "description": "a number from 0 to 1"},
    "rerank": {
        "type": "string",
        "pattern": "^[^:]+$",  # module:function would be imported on the word of a row
        "description": "the name of an entry point of the group vector.rerankers, which is all that a job may name",
    },
    "pool": _COUNT,
    "language": {"type": "string", "description": "a language that `vector search --language` takes, or none"},
}


@dataclass(frozen=True)
class Question:
    """A question of the seed `eval_query`; `judgments` are the grades of sources."""

    query_id: str
    text: str
    judgments: dict[str, int] = field(default_factory=dict)


def read_questions(store: VectorStore, query_set: str | None) -> list[Question]:
    """The questions of a set, or of all, by id, with their judgments.

    Raises ConfigurationError when the seeds are not built, UnusableInput when there is no such question.
    """
    missing = store.engine.missing_relations(["eval_query", "eval_judgment"])
    if missing:
        raise ConfigurationError(f"the seed {missing[0]} is not built; run `dbt build` first")
    rows = store.engine.query(
        f"select query_id, query_text, query_set from {store.engine.table('eval_query')} order by query_id"
    )
    judgments: dict[str, dict[str, int]] = {}
    for query_id, source_id, relevance in store.engine.query(
        f"select query_id, source_id, relevance from {store.engine.table('eval_judgment')}"
    ):
        judgments.setdefault(query_id, {})[source_id] = int(relevance)
    questions = [
        Question(query_id, text, judgments.get(query_id, {}))
        for query_id, text, of_set in rows
        if query_set in (None, of_set)
    ]
    if not questions:
        which = "no question" if query_set is None else f"no question of the query_set {query_set!r}"
        raise UnusableInput(f"the seed eval_query has {which}; add some and run `dbt build`")
    return questions


def space_of_key(store: VectorStore, space_key: str) -> EmbeddingSpace:
    """The space. Raises UnusableInput when there is none of this key."""
    space = store.get_embedding_space_by_key(space_key)
    if space is None:
        known = ", ".join(str(each.space_key) for each in store.list_embedding_spaces(active_only=False))
        raise UnusableInput(f"there is no space {space_key!r}; spaces are {known or 'none'}")
    return space


def policy_of(given: Mapping[str, Any]) -> SearchPolicy:
    """The search policy that a checked input of a job names; dense, where it names no mode. Raises ConfigurationError
    on a value that no policy has."""
    # JSON may write 1 as 1.0 and the other way round; one policy must be logged in one way.
    numbers = {"min_score": float, "per_source": int, "mmr": float, "pool": int}
    return SearchPolicy(**{name: numbers.get(name, str)(given[name]) for name in POLICY if given.get(name) is not None})


def policy_keys(policy: SearchPolicy) -> dict[str, Any]:
    """The keys of a job's input for the policy, as far as it is not the default."""
    given = {each.name: getattr(policy, each.name) for each in fields(policy) if each.name in POLICY}
    return {name: value for name, value in given.items() if value != getattr(BY_SOURCE, name)}


def check_policy(given: Mapping[str, Any], job_type: str) -> None:
    """Raises InvalidRecord that names the key, when a value of the input is none that a search policy has."""
    for name in POLICY.keys() & given.keys():
        try:
            policy_of({name: given[name]})
        except ConfigurationError:
            wanted = POLICY[name]["description"]
            raise InvalidRecord(f"{job_type} input, key {name}: it is {given[name]!r}; give {wanted}") from None


def ask(
    context: Any,
    space: EmbeddingSpace,
    questions: Iterable[Question],
    top_k: int,
    source_types: Iterable[str] = (),
    policy: SearchPolicy = BY_SOURCE,
) -> dict[str, list[str]]:
    """The ranking of sources for each question, by its id. Each search is logged with the run and the question.

    The lease is extended between questions. Raises as vector.retrieval.search does.
    """
    rankings: dict[str, list[str]] = {}
    provider = open_provider(space) if policy.needs_model else None
    try:
        for question in questions:
            keep_going(context, f"{len(rankings)} questions")
            result = search(
                context.store,
                space,
                provider,
                question.text,
                top_k,
                source_types=tuple(source_types),
                policy=policy,
                run_id=context.run.run_id,
                eval_query_id=question.query_id,
            )
            rankings[question.query_id] = ranked_sources((hit.source_id, hit.chunk_id) for hit in result.hits)
    finally:
        if provider is not None:
            provider.close()
    return rankings


def ranked_sources(hits: Iterable[tuple[str | None, str]]) -> list[str]:
    """The ranking of sources that hits (source id, chunk id), best first, give: a source counts once, where its best
    hit is, and those behind it move up. A chunk of no source stands for itself."""
    return list(dict.fromkeys(source_id or chunk_id for source_id, chunk_id in hits))
