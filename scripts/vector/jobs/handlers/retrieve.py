"""RETRIEVE_TEST: asks the judged questions in a space and measures what comes back.

Input (described in docs/operations.md):

    space_key     the space to search; by default that of the job's `embedding_space_id`
    query_set     a set of the seed `eval_query`; by default all questions
    top_k         hits a question, 100 by default
    per_source    the most hits of one source, 1 by default, so that `top_k` hits are as many sources; null: no limit
    source_types  only chunks of these types are searched
    mode          dense, lexical or hybrid; dense by default
    min_score, mmr, rerank, pool, language
                  as the options of `vector search`; `rerank` is the name of an entry point

The searches are logged; the warehouse's view `eval_score` measures them, and how sure the means are is stored in
`evaluation_interval`. Questions without a judgment are not asked; those whose judgments are all 0 are, and are in no
mean.
"""

from __future__ import annotations

from typing import Any

from vector.evaluation.evaluate import measured
from vector.evaluation.questions import DEFAULT_TOP_K, read_questions
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
from vector.store import VectorStore
from vector.store.spaces import space_of_key

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


def require(store: VectorStore, given: dict[str, Any]) -> None:
    """Raises UnusableInput when there is no such space or question."""
    space_of_key(store, given["space_key"])
    read_questions(store, given.get("query_set"))


def run(context: JobContext) -> dict[str, Any]:
    """Asks and measures by the job's input: the metrics of vector.evaluation.evaluate.measured."""
    given = validate(context.job.input_json)
    return measured(
        context.store,
        context.run.run_id,
        space_of_key(context.store, given["space_key"]),
        given.get("query_set"),
        given["top_k"],
        given["source_types"],
        policy_of(given),
        before_each=lambda asked: context.keep_going(f"{asked} questions"),
    )
