"""RETRIEVE_TEST: asks the judged questions in a space and measures what comes back.

Input (docs/jobs.md has examples):

    space_key     the space to search; needed
    query_set     a set of the seed `eval_query`; by default all questions
    top_k         hits a question, 100 by default
    per_source    the most hits of one source, 1 by default, so that `top_k` hits are as many sources; null: no limit
    source_types  only chunks of these types are searched
    mode          dense, lexical or hybrid; dense by default
    min_score, mmr, rerank, pool, language
                  as the options of `vector search`; `rerank` is the name of an entry point

The searches are logged; the warehouse's view `eval_score` measures them, and how sure the means are is stored in
`evaluation_interval`. Questions without a relevant judgment are not asked.
"""

from __future__ import annotations

from typing import Any

from vector.errors import UnusableInput
from vector.evaluation.intervals import measure_run
from vector.evaluation.questions import (
    DEFAULT_TOP_K,
    POLICY,
    QUERY_SET,
    TOP_K,
    ask,
    check_policy,
    policy_of,
    read_questions,
    space_of_key,
)
from vector.jobs.handlers.input_schema import SOURCE_TYPES, SPACE_KEY, checked_input
from vector.search.policy import BY_SOURCE, SearchPolicy
from vector.spaces.coverage import coverage_of

SCHEMA = {
    "type": "object",
    "required": ["space_key"],
    "additionalProperties": False,
    "properties": {
        "space_key": SPACE_KEY,
        "query_set": QUERY_SET,
        "top_k": {**TOP_K, "default": DEFAULT_TOP_K},
        "source_types": {**SOURCE_TYPES, "default": []},
        **POLICY,
        "per_source": {**POLICY["per_source"], "default": BY_SOURCE.per_source},
    },
}


def validate(input_json: dict[str, Any]) -> dict[str, Any]:
    """The input with its defaults. Raises InvalidRecord that names the key and what to give."""
    given = checked_input(input_json, SCHEMA, "RETRIEVE_TEST")
    check_policy(given, "RETRIEVE_TEST")
    return given


def run(context: Any) -> dict[str, Any]:
    """Asks and measures by the job's input: the metrics of `measured`."""
    given = validate(context.job.input_json)
    return measured(context, given, policy_of(given))


def measured(context: Any, given: dict[str, Any], policy: SearchPolicy) -> dict[str, Any]:
    """Asks and measures. Metrics: `policy`, as it was asked; `coverage` of the chunks that may be found, as
    vector.coverage.coverage_of gives it, at the first question; `mean`, by metric, over the questions.

    Raises UnusableInput when the space or its questions are missing, and as read_questions and vector.retrieval.search
    do.
    """
    store = context.store
    policy = policy.in_warehouse(store.engine)
    space = space_of_key(store, given["space_key"])
    questions = read_questions(store, given.get("query_set"))
    judged = [question for question in questions if any(grade > 0 for grade in question.judgments.values())]
    if not judged:
        raise UnusableInput("none of the questions has a relevant judgment; add some to the seed eval_judgment")
    coverage = coverage_of(store, space, given["source_types"])
    ask(context, space, judged, given["top_k"], given["source_types"], policy)
    return {
        "space_key": space.space_key,
        "query_set": given.get("query_set"),
        "top_k": given["top_k"],
        "policy": policy.asked_json(given["top_k"]),
        "coverage": coverage,
        "query_count": len(judged),
        "queries_without_judgments": len(questions) - len(judged),
        "mean": measure_run(store, context.run.run_id),
    }
