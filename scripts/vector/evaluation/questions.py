"""The questions of a query set, asked in a space, and their rankings of sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vector.contracts.models import EmbeddingSpace
from vector.errors import UnusableInput
from vector.providers import open_provider
from vector.search.policy import BY_SOURCE, SearchPolicy
from vector.search.search import SearchResult, search
from vector.store import VectorStore

# Hits a question: as many sources, as there is one hit a source by default, as the deepest metric looks at.
DEFAULT_TOP_K = 100
# Searches that are logged in one transaction, which costs as much as one search.
LOGGED = 50


@dataclass(frozen=True)
class EvalQuery:
    """A question of `eval_query_input`; `judgments` are the grades of sources."""

    query_id: str
    text: str
    judgments: dict[str, int] = field(default_factory=dict)

    @property
    def has_answer(self) -> bool:
        """Whether some source is relevant. A question that has judgments and no answer was judged to have none."""
        return any(grade > 0 for grade in self.judgments.values())


def read_questions(store: VectorStore, query_set: str | None) -> list[EvalQuery]:
    """The questions of a set, or of all, by id, with their judgments.

    Raises ConfigurationError when they are not built, UnusableInput when there is no such question.
    """
    store.require_built("eval_query_input", "eval_judgment_input")
    rows = store.engine.query(
        f"select query_id, query_text, query_set from {store.engine.table('eval_query_input')} order by query_id"
    )
    judgments: dict[str, dict[str, int]] = {}
    for query_id, source_id, relevance in store.engine.query(
        f"select query_id, source_id, relevance from {store.engine.table('eval_judgment_input')}"
    ):
        judgments.setdefault(query_id, {})[source_id] = int(relevance)
    questions = [
        EvalQuery(query_id, text, judgments.get(query_id, {}))
        for query_id, text, of_set in rows
        if query_set in (None, of_set)
    ]
    if not questions:
        which = "no question" if query_set is None else f"no question of the query_set {query_set!r}"
        raise UnusableInput(f"eval_query_input has {which}; add some (docs/search.md) and run `dbt build`")
    return questions


def ask(
    store: VectorStore,
    run_id: str,
    space: EmbeddingSpace,
    questions: Iterable[EvalQuery],
    top_k: int,
    source_types: Iterable[str] = (),
    policy: SearchPolicy = BY_SOURCE,
    before_each: Callable[[int], None] | None = None,
) -> dict[str, list[str]]:
    """The ranking of sources for each question, by its id. Each search is logged with the run and the question, LOGGED
    of them at a time.

    `before_each` is told before a question how many were asked. Raises what it does, and as vector.retrieval.search.
    """
    rankings: dict[str, list[str]] = {}
    waiting: list[SearchResult] = []
    provider = open_provider(space) if policy.needs_model else None
    try:
        for question in questions:
            if before_each:
                before_each(len(rankings))
            result = search(
                store,
                space,
                provider,
                question.text,
                top_k,
                source_types=tuple(source_types),
                log=False,
                policy=policy,
                run_id=run_id,
                eval_query_id=question.query_id,
            )
            rankings[question.query_id] = ranked_sources((hit.source_id, hit.chunk_id) for hit in result.hits)
            waiting.append(result)
            if len(waiting) == LOGGED:
                _log(store, waiting)
    finally:
        if provider is not None:
            provider.close()
        _log(store, waiting)  # what was asked when `before_each` said stop, too
    return rankings


def _log(store: VectorStore, waiting: list[SearchResult]) -> None:
    hits = [hit for result in waiting for hit in result.ledger_hits]
    store.save_retrievals([result.retrieval for result in waiting], hits)
    waiting.clear()


def ranked_sources(hits: Iterable[tuple[str | None, str]]) -> list[str]:
    """The ranking of sources that hits (source id, chunk id), best first, give: a source counts once, where its best
    hit is, and those behind it move up. A chunk of no source stands for itself."""
    return list(dict.fromkeys(source_id or chunk_id for source_id, chunk_id in hits))
