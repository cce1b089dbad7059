"""Where the schema holds what came from a source or was asked. Erasure goes by this list, and a test compares it with
the database's own: a column of text that is on none of the three is a fault."""

from __future__ import annotations

from dataclasses import dataclass

# Tables whose rows are of one source, by its chunks or its id. They go whole, so a further column goes with them.
OF_A_SOURCE = (
    "retrieval_hit", "embedding_sketch", "embedding", "embedding_failure", "space_map", "chunk_version", "chunk",
    "source_registry",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Columns of a table whose rows outlive a source, and that may quote it all the same: as text, or in JSON."""

    table: str
    key: str
    texts: tuple[str, ...]
    json: tuple[str, ...]


SEARCHES = Place("retrieval", "retrieval_id", ("query_text",), ("filters_json", "policy_json"))
JOBS = Place("job", "job_id", ("last_error", "dedupe_key"), ("input_json",))
RUNS = Place("run", "run_id", ("error",), ("options_json", "metrics_json"))
MAY_QUOTE = (SEARCHES, JOBS, RUNS)

# Beside a database's file, in its folder `.vector-<file>`: read copies of the file, which go when it is written anew,
# and searches that wait to be taken in: rows by then, redacted where they were asked meanwhile, or deleted.
FILES = ("copies", "searches")

# Columns that hold no text of a source or a question: ids, digests, words of the schema's own, models and settings, and
# what an operator has said. They are searched all the same when an erasure verifies itself, and never changed.
OF_NOBODY = {
    "chunk_policy": "policy_version source_type description method tokenizer payload_format json_path value_format",
    "embedding_canary": "embedding_space_id canary_sha256 vector_sha256 model_digest runtime run_id vector",
    "embedding_sketch_mean": "embedding_space_id mean",
    "embedding_sketch_recall": "embedding_space_id asked",
    "embedding_space": (
        "embedding_space_id space_key provider model_name model_tag model_digest distance_metric preprocess_policy_json"
        " transform_ref description"
    ),
    "embedding_space_seed": (
        "space_key provider model_name model_tag model_digest distance_metric document_prefix query_prefix template"
        " truncation pooling transform_ref description"
    ),
    "erasure": "erasure_id kind erasure_reason salt subject_sha256 counts_json lift_reason",
    "evaluation_interval": "evaluation_interval_id evaluation_id baseline_evaluation_id metric",
    # The judged questions and thresholds are your own, as seeds or relations.
    "eval_judgment": "query_id source_id",
    "eval_query": "query_id query_text query_set query_kind",
    "publish_threshold": "query_set search_method metric",
    "job": "job_id job_type status embedding_space_id locked_by locked_run_id",
    "retrieval": (
        "retrieval_id embedding_space_id query_sha256 query_embedding run_id engine eval_query_id search_stage"
    ),
    "run": "run_id job_id worker_id status embedding_space_id endpoint_url model_name model_tag model_digest",
    "space_publication": ("publication_id embedding_space_id previous_space_id action published_by evidence_json note"),
}


def is_listed(table: str, column: str) -> bool:
    """Whether the list says what becomes of a column of text."""
    if table in OF_A_SOURCE or column in OF_NOBODY.get(table, "").split():
        return True
    return any(table == place.table and column in (*place.texts, *place.json) for place in MAY_QUOTE)
