"""One dataclass a ledger: what Python and the schema `vector` say to each other. All in one file, where callers look.

Times are aware UTC datetimes; a naive one is taken as UTC. Vectors are plain lists of floats. Constructors
do not check hashes or shapes, so that a caller may build a partial record; the store checks when it saves.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import Enum, EnumMeta
from functools import cache
from typing import Any, NoReturn, TypeVar, get_args

from vector.contracts.identity import (
    canonical_preprocess_policy,
    compute_content_hash,
    compute_vector_hash,
    generate_chunk_id,
    new_id,
    space_identity_json,
    uuid_from_digest,
)
from vector.contracts.json_column import UnreadableJson
from vector.errors import InvalidRecord

__all__ = [
    "EmbeddingCanary",
    "EmbeddingFailure",
    "EmbeddingSpace",
    "Erasure",
    "ErasureKind",
    "EvaluationInterval",
    "JobStatus",
    "JobType",
    "PublicationAction",
    "RunStatus",
    "SourceStatus",
    "SpacePublication",
    "VectorChunk",
    "VectorEmbedding",
    "VectorJob",
    "VectorRetrieval",
    "VectorRetrievalHit",
    "VectorRun",
    "VectorSourceRegistry",
    "compute_content_hash",
    "compute_vector_hash",
    "generate_chunk_id",
]

DISTANCE_METRICS = ("cosine", "dot", "euclidean")

JsonObject = dict[str, Any]


class JobType(Enum):
    """What a job does."""

    CHUNK_SOURCE = "CHUNK_SOURCE"
    EMBED_CHUNKS = "EMBED_CHUNKS"
    REEMBED_SPACE = "REEMBED_SPACE"
    RETRIEVE_TEST = "RETRIEVE_TEST"
    DRIFT_TEST = "DRIFT_TEST"


class JobStatus(Enum):
    """Where a job is; DEADLETTER is a job whose attempts are used up."""

    NEW = "NEW"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    DEADLETTER = "DEADLETTER"


class RunStatus(Enum):
    """Where one attempt at a job is."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class SourceStatus(Enum):
    """What is known of a source document."""

    REGISTERED = "registered"
    INDEXED = "indexed"
    PENDING = "pending"
    ERROR = "error"


class ErasureKind(Enum):
    """What was erased."""

    SOURCE = "source"
    QUERY = "query"
    PRUNING = "pruning"


class UnknownMember:
    """What stands in a record for a stored `value` that its enum does not have, as a later version may have written it.
    It can be listed, and saved again; `reason` names the row."""

    def __init__(self, value: str, reason: str):
        self.value, self.reason = value, reason

    def refuse(self) -> NoReturn:
        """Raises InvalidRecord."""
        raise InvalidRecord(self.reason)


class PublicationAction(Enum):
    """How a space came to be live, or was retired."""

    PUBLISH = "publish"
    ROLLBACK = "rollback"
    RETIRE = "retire"


def _now() -> datetime:
    return datetime.now(UTC)


def _to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def _doubles(vector: Any) -> list[float]:
    """The vector as floats of Python."""
    import numpy as np

    doubles: list[float] = np.asarray(vector, dtype=np.float64).tolist()
    return doubles


def _plain(value: Any) -> Any:
    """The value as JSON would hold it, sharing no list or dict with the original."""
    if isinstance(value, UnreadableJson):
        return {"unreadable": value.reason}
    if isinstance(value, (Enum, UnknownMember)):
        return value.value
    if isinstance(value, datetime):
        return _to_utc(value).isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


def _typed(annotation: Any, value: Any) -> Any:
    """The plain value as the field's type holds it: enum members and UTC datetimes are made from theirs."""
    if value is None:
        return None
    for kind in get_args(annotation) or (annotation,):
        if isinstance(kind, EnumMeta):
            return kind(value)
        if kind is datetime:
            return _to_utc(value if isinstance(value, datetime) else _parse_time(value))
    return _plain(value)


def _parse_time(text: str) -> datetime:
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))


@cache
def _times(record: type) -> tuple[str, ...]:
    """The fields that hold a time."""
    return tuple(each.name for each in fields(record) if datetime in (each.type, *get_args(each.type)))


RecordType = TypeVar("RecordType", bound="_Record")


class _Record:
    """Reading and writing of a record, driven by its dataclass fields."""

    def __post_init__(self) -> None:
        for name in _times(type(self)):
            value = getattr(self, name)
            if isinstance(value, datetime):
                try:
                    setattr(self, name, _to_utc(value))
                except OverflowError:
                    raise InvalidRecord(
                        f"{type(self).__name__} {getattr(self, fields(self)[0].name)}: {name} {value.isoformat()}"
                        " is not of the years 1 to 9999 in UTC"
                    ) from None

    def to_dict(self) -> JsonObject:
        """Every field under its name, ready for JSON: enums as their value, times as ISO 8601 in UTC."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_dict(cls: type[RecordType], data: Mapping[str, Any]) -> RecordType:
        """The record that `to_dict` gave `data` for; keys of fields with a default may be absent.

        Datetimes and enum members are also taken as they are, so that a database row will do.

        Raises InvalidRecord that names the unknown keys, the missing keys, or the key of a value that is no
        member of its enum or no ISO 8601 time, with the record's id.
        """
        known = {each.name: each for each in fields(cls)}
        unknown = sorted(str(key) for key in data if key not in known)
        if unknown:
            raise InvalidRecord(f"{cls.__name__}: unknown keys: {', '.join(unknown)}")
        missing = [
            name
            for name, each in known.items()
            if name not in data and each.default is MISSING and each.default_factory is MISSING
        ]
        if missing:
            raise InvalidRecord(f"{cls.__name__}: missing keys: {', '.join(missing)}")
        values = {}
        for name, value in data.items():
            try:
                values[name] = _typed(known[name].type, value)
            except (ValueError, TypeError, OverflowError) as error:
                about = data.get(fields(cls)[0].name)
                raise InvalidRecord(f"{cls.__name__}.{name}: {error} (of {about})") from None
        return cls(**values)


@dataclass
class EmbeddingSpace(_Record):
    """One vector space: a model, how texts are prepared for it, and how its vectors are compared.

    `dimensions` is the length of every vector in it, `distance_metric` one of cosine, dot, euclidean. The id is
    the digest of what makes vectors comparable, so the same space has the same id everywhere. Description, active flag
    and price (in the currency of the bill) are no part of it.
    """

    embedding_space_id: str
    provider: str
    model_name: str
    dimensions: int
    model_tag: str | None = None
    model_digest: str | None = None
    normalize_flag: bool = True
    distance_metric: str = "cosine"
    preprocess_policy: JsonObject | None = None
    transform_ref: str | None = None
    description: str | None = None
    is_active: bool = True
    created_utc: datetime = field(default_factory=_now)
    space_key: str | None = None
    updated_utc: datetime | None = None
    price_per_million_tokens: float | None = None

    @classmethod
    def create_new(cls, provider: str, model_name: str, dimensions: int, **optional: Any) -> "EmbeddingSpace":
        """A space with its content-addressed id and, unless given, a readable `space_key`.

        `preprocess_policy` is kept in its canonical form: without None values, None when empty.

        Raises InvalidRecord when provider or model_name is empty, dimensions is no positive int, the metric is
        unknown, or a string holds a control character.
        """
        space = cls("", provider, model_name, dimensions, **optional)
        for name in ("provider", "model_name"):
            value = getattr(space, name)
            if not isinstance(value, str) or not value.strip():
                raise InvalidRecord(f"embedding space {name}: must be a text that is not empty, is {value!r}")
        if type(dimensions) is not int or dimensions <= 0:
            raise InvalidRecord(f"embedding space dimensions: must be a positive integer, is {dimensions!r}")
        if space.distance_metric not in DISTANCE_METRICS:
            raise InvalidRecord(
                f"embedding space distance_metric: must be one of {', '.join(DISTANCE_METRICS)}, "
                f"is {space.distance_metric!r}"
            )
        space_id = uuid_from_digest(
            space_identity_json(
                provider,
                model_name,
                space.model_tag,
                space.model_digest,
                dimensions,
                space.normalize_flag,
                space.distance_metric,
                space.preprocess_policy,
                space.transform_ref,
            )
        )
        return replace(
            space,
            embedding_space_id=space_id,
            preprocess_policy=canonical_preprocess_policy(space.preprocess_policy),
            space_key=space.space_key or _space_key(space, space_id),
        )


def _space_key(space: EmbeddingSpace, space_id: str) -> str:
    parts = [space.provider, space.model_name, space.model_tag, str(space.dimensions), space_id[:8]]
    return re.sub("[^A-Za-z0-9._-]", "-", "-".join(part for part in parts if part))


@dataclass
class SpacePublication(_Record):
    """One switch of the live space, or the retirement of a draft.

    `publication_number` counts from 1; of the rows that are no retirement, the one with the highest number names the
    live space. `previous_space_id` was live until then. `evidence` is what was checked, and found.
    """

    publication_id: str
    publication_number: int
    embedding_space_id: str
    action: PublicationAction
    published_by: str
    previous_space_id: str | None = None
    evidence: JsonObject | None = None
    note: str | None = None
    published_utc: datetime = field(default_factory=_now)

    @classmethod
    def create_new(
        cls, number: int, embedding_space_id: str, action: PublicationAction, published_by: str, **optional: Any
    ) -> "SpacePublication":
        """A publication with a new id."""
        return cls(new_id(), number, embedding_space_id, action, published_by, **optional)


@dataclass
class VectorJob(_Record):
    """One queued piece of vector work. A higher `priority` is more urgent.

    `locked_*` name who holds the lease: the worker, since when, and the run, which is the lease's token. `dedupe_key`
    is unique among the jobs that are not done. A job with `by_hand_flag` records a command, and is no worker's.
    """

    job_id: str
    job_type: JobType
    input_json: JsonObject
    status: JobStatus = JobStatus.NEW
    priority: int = 100
    embedding_space_id: str | None = None
    max_attempts: int = 3
    attempt_count: int = 0
    available_utc: datetime = field(default_factory=_now)
    locked_by: str | None = None
    locked_utc: datetime | None = None
    last_error: str | None = None
    created_utc: datetime = field(default_factory=_now)
    dedupe_key: str | None = None
    locked_run_id: str | None = None
    lease_expires_utc: datetime | None = None
    completed_utc: datetime | None = None
    cancelled_utc: datetime | None = None
    by_hand_flag: bool | None = None

    @classmethod
    def create_new(cls, job_type: JobType, input_json: JsonObject, **optional: Any) -> "VectorJob":
        """A job with a new id."""
        return cls(new_id(), job_type, input_json, **optional)


@dataclass
class VectorRun(_Record):
    """One attempt at a job: which worker and model, with what options, metrics and end."""

    run_id: str
    job_id: str
    worker_id: str
    status: RunStatus = RunStatus.RUNNING
    embedding_space_id: str | None = None
    endpoint_url: str | None = None
    model_name: str | None = None
    model_tag: str | None = None
    model_digest: str | None = None
    options: JsonObject | None = None
    metrics: JsonObject | None = None
    error: str | None = None
    started_utc: datetime = field(default_factory=_now)
    completed_utc: datetime | None = None

    @classmethod
    def create_new(cls, job_id: str, worker_id: str, **optional: Any) -> "VectorRun":
        """A run with a new id."""
        return cls(new_id(), job_id, worker_id, **optional)


@dataclass
class VectorSourceRegistry(_Record):
    """What is known of one source document.

    `char_count` and `blank_char_count` are in code points; the latter are those in no chunk, as their windows have no
    visible character, and None where there are none. `extracted_sha256` is the hash of the payload that CHUNK_SOURCE
    last tried to take the text out of, `extraction_error` why it could not; both None of a text that is cut as it is.
    `document_sha256` is the fingerprint by which dbt knows a document again, None of what it has not cut.
    """

    source_id: str
    source_type: str
    source_ref: JsonObject
    content_sha256: str | None = None
    last_indexed_utc: datetime | None = None
    chunk_count: int | None = None
    tags: JsonObject | list[Any] | None = None
    status: SourceStatus = SourceStatus.INDEXED
    created_utc: datetime = field(default_factory=_now)
    updated_utc: datetime = field(default_factory=_now)
    title: str | None = None
    char_count: int | None = None
    policy_version: str | None = None
    chunk_capped_flag: bool = False
    error_message: str | None = None
    managed_by: str = "python"
    source_updated_utc: datetime | None = None
    retired_utc: datetime | None = None
    blank_char_count: int | None = None
    extracted_sha256: str | None = None
    extraction_error: str | None = None
    document_sha256: str | None = None


@dataclass
class VectorChunk(_Record):
    """One chunk of a source.

    `offsets` has chunk_index, start_offset and end_offset (code points, end exclusive); `byte_count` is the
    length of the content in UTF-8; `policy` is what cut it; `context` is the title and headings above it;
    `document_sha256` is the fingerprint of the document that dbt has cut it of: None says that it is to be cut again.
    """

    chunk_id: str
    source_type: str
    source_ref: JsonObject
    offsets: JsonObject
    content: str
    content_sha256: str
    byte_count: int
    policy: JsonObject
    source_id: str | None = None
    created_utc: datetime = field(default_factory=_now)
    managed_by: str = "python"
    retired_utc: datetime | None = None
    updated_utc: datetime | None = None
    context: str | None = None
    document_sha256: str | None = None


@dataclass
class VectorEmbedding(_Record):
    """One vector of one version of a chunk in one space; `input_content_sha256` names the version."""

    embedding_id: str
    chunk_id: str
    embedding_space_id: str
    input_content_sha256: str
    vector: list[float] = field(repr=False)
    vector_sha256: str
    run_id: str | None = None
    created_utc: datetime = field(default_factory=_now)
    input_tokens: int | None = None
    used_tokens: int | None = None
    truncated_flag: bool | None = None
    tokens_estimated_flag: bool | None = None

    @property
    def dimensions(self) -> int:
        """The length of the vector."""
        return len(self.vector)

    @classmethod
    def create_new(
        cls, chunk_id: str, embedding_space_id: str, input_content_sha256: str, vector: list[float], **optional: Any
    ) -> "VectorEmbedding":
        """An embedding with a new id and its vector's hash. A list or a one-dimensional array will do.

        Raises InvalidRecord when the vector is empty, not flat, or not finite as float32.
        """
        vector_sha256 = compute_vector_hash(vector)
        return cls(
            new_id(), chunk_id, embedding_space_id, input_content_sha256, _doubles(vector), vector_sha256, **optional
        )


@dataclass
class EmbeddingCanary(_Record):
    """The vector that a space's model gave one of the fixed canary texts when the space was pinned to it.

    `canary_index` counts from 0; `canary_sha256` is the hash of the text without the space's prefix or template.
    `runtime` is what served the model, such as "ollama 0.12.6".
    """

    embedding_space_id: str
    canary_index: int
    canary_sha256: str
    vector: list[float] = field(repr=False)
    vector_sha256: str
    model_digest: str | None = None
    runtime: str | None = None
    run_id: str | None = None
    created_utc: datetime = field(default_factory=_now)

    @property
    def dimensions(self) -> int:
        """The length of the vector."""
        return len(self.vector)

    @classmethod
    def create_new(
        cls, embedding_space_id: str, canary_index: int, canary_sha256: str, vector: list[float], **optional: Any
    ) -> "EmbeddingCanary":
        """A canary with its vector's hash. A list or a one-dimensional array will do.

        Raises InvalidRecord when the vector is empty, not flat, or not finite as float32.
        """
        vector_sha256 = compute_vector_hash(vector)
        return cls(embedding_space_id, canary_index, canary_sha256, _doubles(vector), vector_sha256, **optional)


# What a retrieval has in place of a question that is not kept.
REDACTED = "[redacted]"


@dataclass
class VectorRetrieval(_Record):
    """One logged query. `latency_ms` is in milliseconds; `exact_flag` says whether every candidate was compared,
    `query_truncated_flag` whether the model saw less than the whole question (None: not known, or no model),
    `search_stage` what its vectors were found by, exact or sketch (None: by none, or logged by an earlier version)."""

    retrieval_id: str
    embedding_space_id: str
    query_text: str
    top_k: int
    query_embedding: list[float] | None = field(default=None, repr=False)
    filters: JsonObject | None = None
    policy: JsonObject | None = None
    run_id: str | None = None
    created_utc: datetime = field(default_factory=_now)
    query_sha256: str | None = None
    candidate_count: int | None = None
    latency_ms: float | None = None
    engine: str | None = None
    exact_flag: bool = True
    eval_query_id: str | None = None
    query_truncated_flag: bool | None = None
    search_stage: str | None = None

    @classmethod
    def create_new(cls, embedding_space_id: str, query_text: str, top_k: int, **optional: Any) -> "VectorRetrieval":
        """A retrieval with a new id."""
        return cls(new_id(), embedding_space_id, query_text, top_k, **optional)

    def redacted(self) -> "VectorRetrieval":
        """The retrieval with the hash of its question, and neither its text nor its vector, from which a text can be
        guessed (Morris, Kuleshov, Shmatikov & Rush 2023, "Text Embeddings Reveal (Almost) As Much As Text")."""
        if self.is_redacted:
            return self
        sha256 = compute_content_hash(self.query_text)
        return replace(self, query_text=REDACTED, query_sha256=sha256, query_embedding=None)

    @property
    def is_redacted(self) -> bool:
        """Whether the question itself was not kept."""
        return self.query_text == REDACTED and self.query_embedding is None and self.query_sha256 is not None


@dataclass
class VectorRetrievalHit(_Record):
    """One hit of a retrieval; `content_sha256` is the hash the chunk had when it was found."""

    retrieval_id: str
    rank: int
    chunk_id: str
    score: float
    metadata: JsonObject | None = None
    content_sha256: str | None = None


@dataclass
class Erasure(_Record):
    """What was deleted on request. `salt` and `subject_sha256` say of what, to who knows its name: the hash is of the
    salt, a colon and the name; a pruning has neither. `counts` are the rows deleted, by ledger; `cache_epoch` grows
    when it begins and when it ends. A source is kept out until `lifted_utc`."""

    erasure_id: str
    kind: ErasureKind
    erasure_reason: str
    counts: JsonObject = field(default_factory=dict)
    salt: str | None = None
    subject_sha256: str | None = None
    cache_epoch: int = 0
    created_utc: datetime = field(default_factory=_now)
    completed_utc: datetime | None = None
    lifted_utc: datetime | None = None
    lift_reason: str | None = None

    @classmethod
    def create_new(cls, kind: ErasureKind, subject: str, reason: str) -> "Erasure":
        """An erasure of a source, by its id, or of a question, by its text, with a new id and salt."""
        salt = secrets.token_hex(32)
        return cls(new_id(), kind, reason, salt=salt, subject_sha256=compute_content_hash(f"{salt}:{subject}"))

    def is_of(self, subject: str) -> bool:
        """Whether it is the one of this source id or question."""
        return self.salt is not None and self.subject_sha256 == compute_content_hash(f"{self.salt}:{subject}")


@dataclass
class EvaluationInterval(_Record):
    """How sure the mean of a metric is over an evaluation's questions or, with a baseline, the mean difference from
    another evaluation; `p_value` is of a difference. `replicate_count` and `seed` are those of the bootstrap."""

    evaluation_interval_id: str
    evaluation_id: str
    baseline_evaluation_id: str | None
    metric: str
    query_count: int
    estimate: float
    ci_lower: float
    ci_upper: float
    p_value: float | None
    replicate_count: int
    seed: int
    created_utc: datetime = field(default_factory=_now)

    @classmethod
    def create_new(
        cls, evaluation_id: str, baseline_evaluation_id: str | None, metric: str, **figures: Any
    ) -> "EvaluationInterval":
        """An interval with the id of what it is of."""
        key = compute_content_hash(f"{evaluation_id}:{baseline_evaluation_id or ''}:{metric}")
        return cls(key, evaluation_id, baseline_evaluation_id, metric, **figures)


@dataclass
class EmbeddingFailure(_Record):
    """One version of a chunk that the model refused in a space; `reason` is a short code. It is due again at
    `retry_after_utc`; None: not before its text or space changes. `unknown_token_share`, 0 to 1, goes with the reason
    unknown_tokens."""

    embedding_failure_id: str
    chunk_id: str
    embedding_space_id: str
    input_content_sha256: str
    reason: str
    error_message: str
    attempt_count: int = 1
    run_id: str | None = None
    created_utc: datetime = field(default_factory=_now)
    last_failed_utc: datetime = field(default_factory=_now)
    retry_after_utc: datetime | None = None
    unknown_token_share: float | None = None

    @classmethod
    def create_new(
        cls,
        chunk_id: str,
        embedding_space_id: str,
        input_content_sha256: str,
        reason: str,
        error_message: str,
        **optional: Any,
    ) -> "EmbeddingFailure":
        """A failure with a new id."""
        return cls(new_id(), chunk_id, embedding_space_id, input_content_sha256, reason, error_message, **optional)
