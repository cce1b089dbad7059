"""How a record lies in its ledger: which table, which columns, which key, and what may change later.

Columns follow from the record's fields: a field that holds an object is stored as JSON under `<field>_json`,
every other one under its own name.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import Enum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from vector.contracts import models
from vector.contracts.identity import canonical_json
from vector.contracts.json_column import UnreadableJson, loaded_json
from vector.errors import InvalidRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Column:
    """A ledger column. `kind` is one of text, integer, real, boolean, utc, json, vector; `length` is the most
    characters that a text may have, in UTF-16 as SQL Server counts them; `needed` says that it may not be null;
    `shapes` are what JSON may be."""

    name: str
    field: str
    kind: str
    enum: type[Enum] | None = None
    length: int | None = None
    needed: bool = False
    shapes: tuple[type, ...] = ()

    @property
    def is_ascii(self) -> bool:
        """Whether it holds UUIDs or SHA-256 in hex, which SQL Server keeps as varchar."""
        return self.kind == "text" and self.length in (36, 64)


@dataclass(frozen=True)
class Ledger:
    """A table, the record it holds, the key that names a row, and the columns that a second save may change."""

    table: str
    record: type
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    mutable: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, in the order of the record's fields."""
        return tuple(column.name for column in self.columns)

    def to_row(self, record: Any) -> tuple:
        """The record's values in column order: JSON as text, enums as their value, times as naive UTC."""
        return tuple(_stored(column, getattr(record, column.field)) for column in self.columns)

    def from_row(self, row: tuple, decode_vector: Callable[[Any], list[float]]) -> Any:
        """The record of a row in column order; `decode_vector` reads the engine's form of a vector.

        JSON that cannot be read is an UnreadableJson, a word that its enum does not have an UnknownMember, and keeps no
        other row, nor the rest of this one, from being read. A time that Python does not have, which an earlier version
        may have stored, is None, and a warning is logged; where it may not be null, it is the nearest that Python has.

        Raises InvalidRecord, which names the row, when a value is none of its column's.
        """
        values = {}
        for column, value in zip(self.columns, row, strict=True):
            if column.kind == "json" and value is not None:
                values[column.field] = loaded_json(value, f"{self.named(row)}: {column.name}", column.shapes)
                continue
            if column.enum and isinstance(value, str) and value not in {each.value for each in column.enum}:
                reason = f"{self.named(row)}: {column.name} is {value[:40]!r}, which this version does not know"
                values[column.field] = models.UnknownMember(value, f"{reason}; correct the row, or upgrade")
                continue
            try:
                values[column.field] = _loaded(column, value, decode_vector)
            except _BeyondPython:
                logger.warning("%s: %s is %s, which Python has no time for", self.named(row), column.name, value)
                values[column.field] = utc_of(value) if column.needed else None
            except (ValueError, TypeError) as error:
                raise InvalidRecord(f"{self.named(row)}: {column.name} cannot be read ({error}); correct it") from None
        return self.record(**values)

    def named(self, row: tuple) -> str:
        """The ledger and the key of a row in column order, for messages."""
        by_name = dict(zip(self.column_names, row, strict=True))
        return f"{self.table} {'/'.join(str(by_name[name]) for name in self.key)}"


class _BeyondPython(Exception):
    """A time of the years that datetime does not have."""


def _stored(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.enum:
        return value.value if isinstance(value, models.UnknownMember) else column.enum(value).value
    if column.kind == "json":
        return value.text if isinstance(value, UnreadableJson) else canonical_json(value)
    if column.kind == "utc":
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(tzinfo=None)
    return value


def _loaded(column: Column, value: Any, decode_vector: Callable[[Any], list[float]]) -> Any:
    if value is None:
        return None
    if column.enum:
        return column.enum(value)
    if column.kind == "utc":
        if isinstance(value, str):  # what DuckDB gives for a year before 1 or after 9999
            raise _BeyondPython
        return utc_of(value)
    if column.kind == "boolean":
        return bool(value)
    if column.kind == "vector":
        return decode_vector(value)
    return value


def utc_of(value: datetime | str) -> datetime:
    """A stored time as aware UTC. DuckDB gives one outside Python's years as text: it is taken as the nearest."""
    if isinstance(value, str):
        value = datetime.min if "(BC)" in value else datetime.max
    return value.replace(tzinfo=UTC)


# As the models of dbt declare them, where a test compares them. DuckDB would take any length, SQL Server would not.
_LENGTHS = {
    **dict.fromkeys(
        "embedding_space_id job_id run_id locked_run_id embedding_id embedding_failure_id retrieval_id"
        " erasure_id".split(),
        36,
    ),
    **dict.fromkeys("publication_id previous_space_id".split(), 36),
    **dict.fromkeys(
        "chunk_id content_sha256 document_sha256 extracted_sha256 input_content_sha256 canary_sha256 query_sha256"
        " vector_sha256 evaluation_interval_id evaluation_id baseline_evaluation_id salt subject_sha256".split(),
        64,
    ),
    **dict.fromkeys("source_id endpoint_url".split(), 400),
    **dict.fromkeys("space_key model_name transform_ref worker_id locked_by dedupe_key published_by".split(), 200),
    **dict.fromkeys("source_type policy_version model_tag model_digest runtime eval_query_id".split(), 100),
    **dict.fromkeys("provider reason engine".split(), 50),
    "job_type": 30,
    **dict.fromkeys("status distance_metric managed_by action metric kind search_stage".split(), 20),
    **dict.fromkeys("erasure_reason lift_reason".split(), 1000),
}

_KINDS = {str: "text", int: "integer", float: "real", bool: "boolean", datetime: "utc"}


def _column(name: str, annotation: Any) -> Column:
    parts = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    kinds = [kind for kind in parts if kind is not type(None)]
    needed = len(kinds) == len(parts)
    kind = kinds[0]
    if get_origin(kind) is dict:
        shapes = tuple(get_origin(each) for each in kinds if get_origin(each)) or (dict,)
        return Column(name if name.endswith("_json") else f"{name}_json", name, "json", needed=needed, shapes=shapes)
    if get_origin(kind) is list:
        return Column(name, name, "vector", needed=needed)
    if issubclass(kind, Enum):
        return Column(name, name, "text", kind, _LENGTHS.get(name), needed)
    return Column(name, name, _KINDS[kind], length=_LENGTHS.get(name), needed=needed)


def key_column(name: str) -> Column:
    """The column of an id or a digest, alone: for rows that are staged to be looked up."""
    return Column(name, name, "text", length=_LENGTHS[name])


def _ledger(table: str, record: type, key: str, mutable: str = "") -> Ledger:
    hints = get_type_hints(record)
    columns = tuple(_column(field.name, hints[field.name]) for field in fields(record))
    return Ledger(table, record, tuple(key.split()), columns, tuple(mutable.split()))


EMBEDDING_SPACE = _ledger(
    "embedding_space",
    models.EmbeddingSpace,
    "embedding_space_id",
    "description is_active price_per_million_tokens updated_utc",
)
JOB = _ledger(
    "job",
    models.VectorJob,
    "job_id",
    "status priority max_attempts attempt_count available_utc locked_by locked_utc locked_run_id lease_expires_utc"
    " last_error completed_utc cancelled_utc",
)
RUN = _ledger(
    "run",
    models.VectorRun,
    "run_id",
    "status endpoint_url model_name model_tag model_digest options_json metrics_json error completed_utc",
)
SOURCE_REGISTRY = _ledger(
    "source_registry",
    models.VectorSourceRegistry,
    "source_id",
    "source_type source_ref_json title content_sha256 char_count policy_version chunk_count chunk_capped_flag"
    " tags_json status error_message managed_by source_updated_utc last_indexed_utc retired_utc updated_utc"
    " blank_char_count extracted_sha256 extraction_error document_sha256",
)
CHUNK = _ledger(
    "chunk",
    models.VectorChunk,
    "chunk_id",
    "source_id source_type source_ref_json offsets_json content context content_sha256 byte_count policy_json"
    " managed_by retired_utc updated_utc document_sha256",
)
EMBEDDING = _ledger("embedding", models.VectorEmbedding, "chunk_id embedding_space_id input_content_sha256")
EMBEDDING_CANARY = _ledger("embedding_canary", models.EmbeddingCanary, "embedding_space_id canary_index")
EMBEDDING_FAILURE = _ledger(
    "embedding_failure",
    models.EmbeddingFailure,
    "chunk_id embedding_space_id input_content_sha256",
    "reason error_message attempt_count run_id last_failed_utc retry_after_utc unknown_token_share",
)
RETRIEVAL = _ledger("retrieval", models.VectorRetrieval, "retrieval_id")
RETRIEVAL_HIT = _ledger("retrieval_hit", models.VectorRetrievalHit, "retrieval_id rank")
SPACE_PUBLICATION = _ledger("space_publication", models.SpacePublication, "publication_id")
EVALUATION_INTERVAL = _ledger(
    "evaluation_interval",
    models.EvaluationInterval,
    "evaluation_interval_id",
    "query_count estimate ci_lower ci_upper p_value replicate_count seed",
)
ERASURE = _ledger(
    "erasure", models.Erasure, "erasure_id", "counts_json cache_epoch completed_utc lifted_utc lift_reason"
)

LEDGERS = (
    EMBEDDING_SPACE, JOB, RUN, SOURCE_REGISTRY, CHUNK, EMBEDDING, EMBEDDING_CANARY, EMBEDDING_FAILURE, RETRIEVAL,
    RETRIEVAL_HIT, SPACE_PUBLICATION, EVALUATION_INTERVAL, ERASURE,
)  # fmt: skip
