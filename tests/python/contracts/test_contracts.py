"""Records and their identities: what a hash is over, what an id depends on, and that nothing is lost on the way."""

import dataclasses
import hashlib
import json
import re
import struct
import types
import typing
import uuid
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from vector import contracts
from vector.contracts import models
from vector.contracts.identity import (
    canonical_json,
    new_id,
    require_storable_text,
    space_identity_json,
    uuid_from_digest,
)
from vector.contracts.ledgers import LEDGERS
from vector.contracts.models import (
    EmbeddingCanary,
    EmbeddingFailure,
    EmbeddingSpace,
    Erasure,
    ErasureKind,
    EvaluationInterval,
    JobStatus,
    JobType,
    PublicationAction,
    RunStatus,
    SourceStatus,
    SpacePublication,
    VectorChunk,
    VectorEmbedding,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorRun,
    VectorSourceRegistry,
    compute_content_hash,
    compute_vector_hash,
    generate_chunk_id,
)
from vector.errors import InvalidRecord

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
RECORDS = [
    EmbeddingCanary,
    EmbeddingFailure,
    EmbeddingSpace,
    Erasure,
    EvaluationInterval,
    SpacePublication,
    VectorChunk,
    VectorEmbedding,
    VectorJob,
    VectorRetrieval,
    VectorRetrievalHit,
    VectorRun,
    VectorSourceRegistry,
]
REQUIRED = {
    EmbeddingCanary: "embedding_space_id canary_index canary_sha256 vector vector_sha256",
    EmbeddingFailure: "embedding_failure_id chunk_id embedding_space_id input_content_sha256 reason error_message",
    EmbeddingSpace: "embedding_space_id provider model_name dimensions",
    Erasure: "erasure_id kind erasure_reason",
    EvaluationInterval: "evaluation_interval_id evaluation_id baseline_evaluation_id metric query_count estimate"
    " ci_lower ci_upper p_value replicate_count seed",
    SpacePublication: "publication_id publication_number embedding_space_id action published_by",
    VectorChunk: "chunk_id source_type source_ref offsets content content_sha256 byte_count policy",
    VectorEmbedding: "embedding_id chunk_id embedding_space_id input_content_sha256 vector vector_sha256",
    VectorJob: "job_id job_type input_json",
    VectorRetrieval: "retrieval_id embedding_space_id query_text top_k",
    VectorRetrievalHit: "retrieval_id rank chunk_id score",
    VectorRun: "run_id job_id worker_id",
    VectorSourceRegistry: "source_id source_type source_ref",
}
OPTIONAL = {
    EmbeddingCanary: "model_digest runtime run_id created_utc",
    EmbeddingFailure: "attempt_count run_id created_utc last_failed_utc retry_after_utc unknown_token_share",
    EmbeddingSpace: "model_tag model_digest normalize_flag distance_metric preprocess_policy transform_ref description "
    "is_active created_utc space_key updated_utc price_per_million_tokens",
    Erasure: "counts salt subject_sha256 cache_epoch created_utc completed_utc lifted_utc lift_reason",
    EvaluationInterval: "created_utc",
    SpacePublication: "previous_space_id evidence note published_utc",
    VectorChunk: "source_id created_utc managed_by retired_utc updated_utc context document_sha256",
    VectorEmbedding: "run_id created_utc input_tokens used_tokens truncated_flag tokens_estimated_flag",
    VectorJob: "status priority embedding_space_id max_attempts attempt_count available_utc locked_by locked_utc "
    "last_error created_utc dedupe_key locked_run_id lease_expires_utc completed_utc cancelled_utc by_hand_flag",
    VectorRetrieval: "query_embedding filters policy run_id created_utc query_sha256 candidate_count latency_ms engine "
    "exact_flag eval_query_id query_truncated_flag search_stage",
    VectorRetrievalHit: "metadata content_sha256",
    VectorRun: "status embedding_space_id endpoint_url model_name model_tag model_digest options metrics error "
    "started_utc completed_utc",
    VectorSourceRegistry: "content_sha256 last_indexed_utc chunk_count tags status created_utc updated_utc title "
    "char_count policy_version chunk_capped_flag error_message managed_by source_updated_utc retired_utc "
    "blank_char_count extracted_sha256 extraction_error document_sha256",
}

finite = st.floats(allow_nan=False, allow_infinity=False)
float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=3)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.none() | zones, allow_imaginary=True
)
SIMPLE = {
    str: st.text(),
    int: st.integers(),
    bool: st.booleans(),
    float: finite,
    datetime: moments,
    type(None): st.none(),
    dict[str, typing.Any]: json_objects,
    list[typing.Any]: st.lists(json_values, max_size=3),
    list[float]: st.lists(finite, min_size=1, max_size=5),
}


def values_of(annotation):
    """Arbitrary values of a field's type; a type not thought of here is a KeyError."""
    if isinstance(annotation, types.UnionType):
        return st.one_of(*map(values_of, typing.get_args(annotation)))
    if isinstance(annotation, type(Enum)):
        return st.sampled_from(annotation)
    return SIMPLE[annotation]


def records_of(cls):
    return st.builds(cls, **{each.name: values_of(each.type) for each in dataclasses.fields(cls)})


def required_values(cls):
    """One plausible value for each required field."""
    members = {
        JobType: JobType.EMBED_CHUNKS,
        PublicationAction: PublicationAction.PUBLISH,
        ErasureKind: ErasureKind.SOURCE,
    }
    plain = {str: "x", int: 3, float: 0.5, list[float]: [0.5], **members}
    names = REQUIRED[cls].split()
    return {f.name: plain.get(f.type, {"k": "v"}) for f in dataclasses.fields(cls) if f.name in names}


def is_uuid(text):
    return str(uuid.UUID(text)) == text


# Identity


def test_content_hash_is_over_utf8():
    assert compute_content_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert compute_content_hash("é😀 ") == hashlib.sha256(b"\xc3\xa9\xf0\x9f\x98\x80 ").hexdigest()
    assert compute_content_hash("e\u0301") != compute_content_hash("\u00e9")


def test_content_hash_refuses_a_lone_surrogate_by_position():
    with pytest.raises(InvalidRecord, match=r"U\+D800 at position 3"):
        compute_content_hash("a\0😀\ud800")


@pytest.mark.parametrize(("text", "message"), [("ab\0c", r"title: NUL .* 2"), ("\udfff", r"title: lone .*DFFF .* 0")])
def test_unstorable_text_is_named(text, message):
    with pytest.raises(InvalidRecord, match=message):
        require_storable_text(text, "title")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_every_other_text_is_storable(text):
    require_storable_text(text, "text")
    assert compute_content_hash(text) == hashlib.sha256(text.encode()).hexdigest()


@given(st.lists(float32s | st.integers(-(2**63), 2**63 - 1), min_size=1))
@example([2**60 + 2**36 + 1])  # as a float a tie, rounded down; as an integer it would be rounded up
def test_vector_hash_is_over_little_endian_float32(vector):
    expected = hashlib.sha256(struct.pack(f"<{len(vector)}f", *vector)).hexdigest()
    assert compute_vector_hash(vector) == expected
    assert compute_vector_hash(tuple(vector)) == expected


@given(st.lists(finite, min_size=1))
def test_vector_hash_rounds_as_struct_does_or_refuses_as_it_does(vector):
    try:
        packed = struct.pack(f"<{len(vector)}f", *vector)
    except OverflowError:
        with pytest.raises(InvalidRecord, match="not finite as float32"):
            compute_vector_hash(vector)
    else:
        assert compute_vector_hash(vector) == hashlib.sha256(packed).hexdigest()


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8", "f2", "i4"])
def test_vector_hash_does_not_depend_on_the_array(dtype):
    array = np.array([1, -2, 3, 0], dtype=dtype)
    expected = hashlib.sha256(struct.pack("<4f", 1, -2, 3, 0)).hexdigest()
    assert compute_vector_hash(array) == expected
    assert compute_vector_hash(np.repeat(array, 2)[::2]) == expected


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([], "not empty"),
        (0.5, "one-dimensional"),
        ([[1.0, 2.0]], "one-dimensional"),
        ([[1.0], [1.0, 2.0]], "flat list"),
        ([1.0, float("nan")], "nan at position 1"),
        ([float("-inf")], "-inf at position 0"),
        ([0.0, 1e39], "position 1 is not finite as float32"),
        (["0.5"], "real numbers"),
        ([None], "real numbers"),
        ([True, False], "real numbers"),
        ([1j], "real numbers"),
        ([10**400], "real numbers"),
    ],
)
def test_vector_hash_refuses(vector, message):
    with pytest.raises(InvalidRecord, match=message):
        compute_vector_hash(vector)


def test_chunk_id_is_the_digest_of_its_parts():
    assert generate_chunk_id("page:é", 2, 10, 25, "1.0") == hashlib.sha256("page:é:2:10:25:1.0".encode()).hexdigest()
    assert generate_chunk_id("s", np.int64(1), 2, 3, "v") == generate_chunk_id("s", 1, 2, 3, "v")


def test_chunk_id_refuses_an_offset_that_is_no_integer():
    with pytest.raises(ValueError, match="format code 'd'"):
        generate_chunk_id("s", 0, 0.0, 5, "v")


chunk_keys = st.tuples(
    st.text(alphabet="a:1", max_size=6),
    *[st.integers(0, 12)] * 3,
    st.text(alphabet="v1.", min_size=1, max_size=3),
)


@given(chunk_keys, chunk_keys)
def test_chunk_ids_are_as_distinct_as_their_parts(one, other):
    assert (generate_chunk_id(*one) == generate_chunk_id(*other)) == (one == other)


@given(json_values)
def test_canonical_json_says_the_same_in_one_way(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_bytes():
    assert canonical_json({"b": [1, None, True], "a": 'é"\\'}) == '{"a":"é\\"\\\\","b":[1,null,true]}'


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, {1: "a", "1": "b"}, {"a": object()}])
def test_canonical_json_refuses(value):
    with pytest.raises(InvalidRecord, match="no canonical JSON"):
        canonical_json(value)


def test_uuid_from_digest_is_the_head_of_the_sha256():
    assert uuid_from_digest("abc") == "ba7816bf-8f01-cfea-4141-40de5dae2223"


def test_new_ids_are_random_uuids():
    made = {new_id() for _ in range(100)}
    assert len(made) == 100
    assert all(is_uuid(each) and uuid.UUID(each).version == 4 for each in made)


def test_space_identity_bytes():
    assert space_identity_json("hash", "h", None, None, 8, True, "cosine", {"b": "é ", "a": None}, None) == (
        '{"dimensions":8,"distance_metric":"cosine","model_digest":null,"model_name":"h","model_tag":null,'
        '"normalize_flag":true,"preprocess_policy":{"b":"é "},"provider":"hash","transform_ref":null}'
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": "a\x0b"},
        {"model_tag": "\x1f"},
        {"transform_ref": "\0"},
        {"preprocess_policy": {"document_prefix": "a\x08b"}},
        {"preprocess_policy": {"a\x1bb": 1}},
        {"preprocess_policy": {"a": [{"b": "\x00"}]}},
        {"model_name": "\ud800"},
    ],
)
def test_space_identity_refuses_control_characters(changes):
    arguments = {"provider": "p", "model_name": "m", "dimensions": 2, **changes}
    with pytest.raises(InvalidRecord, match=f"embedding space {next(iter(changes))}: .* at position"):
        EmbeddingSpace.create_new(**arguments)


def test_space_identity_takes_line_breaks_and_tabs():
    policy = {"query_prefix": "Instruct: find\tit\r\nQuery: "}
    assert '"Instruct: find\\tit\\r\\nQuery: "' in space_identity_json(
        "p", "m", None, None, 2, True, "dot", policy, None
    )


# Embedding spaces

visible = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=5)
policies = st.dictionaries(visible, st.none() | st.booleans() | st.integers() | visible, max_size=4)
identities = st.fixed_dictionaries(
    {
        "provider": visible,
        "model_name": visible,
        "dimensions": st.integers(1, 4096),
        "model_tag": st.none() | visible,
        "model_digest": st.none() | visible,
        "normalize_flag": st.booleans(),
        "distance_metric": st.sampled_from(["cosine", "dot", "euclidean"]),
        "preprocess_policy": st.none() | policies,
        "transform_ref": st.none() | visible,
    }
)


@given(identities, st.text(), st.booleans(), moments, st.randoms())
def test_space_id_ignores_what_is_not_identity(identity, description, is_active, created_utc, random):
    space = EmbeddingSpace.create_new(**identity)
    policy = list((identity["preprocess_policy"] or {}).items()) + [("never given before", None)]
    random.shuffle(policy)
    arguments = list({**identity, "preprocess_policy": dict(policy)}.items())
    random.shuffle(arguments)
    same = EmbeddingSpace.create_new(
        **dict(arguments), description=description, is_active=is_active, created_utc=created_utc
    )
    assert same.embedding_space_id == space.embedding_space_id
    assert same.space_key == space.space_key
    assert (same.description, same.is_active) == (description, is_active)


@given(identities, identities, st.data())
def test_space_id_changes_with_every_identity_field(identity, other, data):
    name = data.draw(st.sampled_from(sorted(identity)))
    assume(effective(identity[name]) != effective(other[name]))
    changed = EmbeddingSpace.create_new(**{**identity, name: other[name]})
    assert changed.embedding_space_id != EmbeddingSpace.create_new(**identity).embedding_space_id


def effective(value):
    # 1 equals True in Python but not in JSON, so the comparison is of texts.
    if isinstance(value, dict):
        value = {key: inner for key, inner in value.items() if inner is not None} or None
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("provider", "q"),
        ("model_name", "n"),
        ("dimensions", 3),
        ("model_tag", "t"),
        ("model_digest", "d"),
        ("normalize_flag", False),
        ("distance_metric", "dot"),
        ("preprocess_policy", {"max_tokens": 256}),
        ("transform_ref", "r"),
    ],
)
def test_each_identity_field_alone_makes_another_space(name, value):
    plain = {"provider": "p", "model_name": "m", "dimensions": 2}
    changed = EmbeddingSpace.create_new(**{**plain, name: value})
    assert changed.embedding_space_id != EmbeddingSpace.create_new(**plain).embedding_space_id


def test_space_id_is_the_digest_of_its_identity():
    space = EmbeddingSpace.create_new("ollama", "nomic-embed-text", 768, preprocess_policy={"a": None})
    identity = space_identity_json("ollama", "nomic-embed-text", None, None, 768, True, "cosine", None, None)
    digest = hashlib.sha256(identity.encode()).hexdigest()
    assert space.embedding_space_id.replace("-", "") == digest[:32]
    assert is_uuid(space.embedding_space_id)
    assert space.preprocess_policy is None


def test_space_key_is_readable_and_safe():
    space = EmbeddingSpace.create_new("ollama", "org/mödel name", 768, model_tag="v1.5:q8")
    assert space.space_key == f"ollama-org-m-del-name-v1.5-q8-768-{space.embedding_space_id[:8]}"
    untagged = EmbeddingSpace.create_new("hash", "h", 8)
    assert untagged.space_key == f"hash-h-8-{untagged.embedding_space_id[:8]}"
    assert EmbeddingSpace.create_new("hash", "h", 8, space_key="mine").space_key == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provider": ""}, "provider"),
        ({"provider": None}, "provider"),
        ({"model_name": "  "}, "model_name"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": -1}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"dimensions": 8.0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"distance_metric": "COSINE"}, "distance_metric"),
        ({"preprocess_policy": "prefix"}, "preprocess_policy"),
    ],
)
def test_space_refuses(changes, message):
    with pytest.raises(InvalidRecord, match=message):
        EmbeddingSpace.create_new(**{"provider": "p", "model_name": "m", "dimensions": 2, **changes})


# Records


def test_enums_are_plain_with_the_agreed_values():
    assert [each.value for each in JobType] == [
        "CHUNK_SOURCE",
        "EMBED_CHUNKS",
        "REEMBED_SPACE",
        "RETRIEVE_TEST",
        "DRIFT_TEST",
    ]
    assert [each.value for each in JobStatus] == ["NEW", "RUNNING", "SUCCEEDED", "FAILED", "DEADLETTER"]
    assert [each.value for each in RunStatus] == ["RUNNING", "SUCCEEDED", "FAILED"]
    assert {each.name: each.value for each in SourceStatus} == {
        "INDEXED": "indexed",
        "REGISTERED": "registered",
        "PENDING": "pending",
        "ERROR": "error",
    }
    assert [each.value for each in PublicationAction] == ["publish", "rollback", "retire"]
    assert [each.value for each in ErasureKind] == ["source", "query", "pruning"]
    assert not any(issubclass(each, str) for each in (JobType, JobStatus, RunStatus, SourceStatus))


def test_every_record_class_is_tested_and_exported():
    classes = {each for each in vars(models).values() if dataclasses.is_dataclass(each)}
    assert classes == set(RECORDS)
    assert {each.__name__ for each in classes} < set(models.__all__)
    assert all(getattr(contracts, name) is getattr(models, name) for name in models.__all__)


@pytest.mark.parametrize("cls", RECORDS)
def test_names_positions_and_which_are_required(cls):
    names = REQUIRED[cls].split() + OPTIONAL[cls].split()
    assert [each.name for each in dataclasses.fields(cls)] == names
    record = cls(**required_values(cls))  # fails when one more is required
    for name in REQUIRED[cls].split():
        with pytest.raises(TypeError, match=name):
            cls(**{key: value for key, value in required_values(cls).items() if key != name})
    assert cls(*(getattr(record, name) for name in names)) == record


NOT_NONE = {
    EmbeddingCanary: {},
    EmbeddingFailure: {"attempt_count": 1},
    EmbeddingSpace: {"normalize_flag": True, "distance_metric": "cosine", "is_active": True},
    Erasure: {"counts": {}, "cache_epoch": 0},
    EvaluationInterval: {},
    SpacePublication: {},
    VectorChunk: {"managed_by": "python"},
    VectorEmbedding: {},
    VectorJob: {"status": JobStatus.NEW, "priority": 100, "max_attempts": 3, "attempt_count": 0},
    VectorRetrieval: {"exact_flag": True},
    VectorRetrievalHit: {},
    VectorRun: {"status": RunStatus.RUNNING},
    VectorSourceRegistry: {"status": SourceStatus.INDEXED, "chunk_capped_flag": False, "managed_by": "python"},
}
SET_TO_NOW = {
    EmbeddingCanary: {"created_utc"},
    EmbeddingFailure: {"created_utc", "last_failed_utc"},
    EmbeddingSpace: {"created_utc"},
    Erasure: {"created_utc"},
    EvaluationInterval: {"created_utc"},
    SpacePublication: {"published_utc"},
    VectorChunk: {"created_utc"},
    VectorEmbedding: {"created_utc"},
    VectorJob: {"available_utc", "created_utc"},
    VectorRetrieval: {"created_utc"},
    VectorRetrievalHit: set(),
    VectorRun: {"started_utc"},
    VectorSourceRegistry: {"created_utc", "updated_utc"},
}


@pytest.mark.parametrize("cls", RECORDS)
def test_defaults(cls):
    before = datetime.now(UTC)
    record = cls(**required_values(cls))
    after = datetime.now(UTC)
    found = {name: getattr(record, name) for name in OPTIONAL[cls].split()}
    times = {name: found.pop(name) for name in SET_TO_NOW[cls]}
    assert found == {name: NOT_NONE[cls].get(name) for name in found}
    assert all(before <= moment <= after and moment.utcoffset() == timedelta(0) for moment in times.values())


@pytest.mark.parametrize("cls", RECORDS)
@given(data=st.data())
def test_to_dict_and_from_dict_are_inverse(cls, data):
    record = data.draw(records_of(cls))
    plain = record.to_dict()
    assert list(plain) == [each.name for each in dataclasses.fields(cls)]
    assert cls.from_dict(plain) == record
    read_back = json.loads(json.dumps(plain))
    assert read_back == plain
    assert cls.from_dict(read_back) == record
    assert cls.from_dict(read_back).to_dict() == plain


@pytest.mark.parametrize("cls", RECORDS)
def test_optional_keys_may_be_absent_and_no_others(cls):
    plain = cls(**required_values(cls)).to_dict()
    needed = {name: plain[name] for name in REQUIRED[cls].split()}
    assert all(getattr(cls.from_dict(needed), name) == value for name, value in required_values(cls).items())
    for name in needed:
        with pytest.raises(InvalidRecord, match=f"{cls.__name__}: missing keys: {name}$"):
            cls.from_dict({key: value for key, value in needed.items() if key != name})
    with pytest.raises(InvalidRecord, match=f"{cls.__name__}: unknown keys: 7, colour$"):
        cls.from_dict({**needed, "colour": 1, 7: 2})


def test_to_dict_shares_nothing_with_the_record():
    chunk = VectorChunk("c", "page", {"a": [1]}, {}, "x", "h", 1, {})
    plain = chunk.to_dict()
    again = VectorChunk.from_dict(plain)
    plain["source_ref"]["a"].append(2)
    assert chunk.source_ref == {"a": [1]}
    assert again.source_ref == {"a": [1]}


@pytest.mark.parametrize(
    ("given_time", "hour"),
    [
        ("2024-05-01T12:00:00Z", 12),
        ("2024-05-01T12:00:00", 12),
        ("2024-05-01 14:00:00+02:00", 12),
        (datetime(2024, 5, 1, 12), 12),
        (datetime(2024, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))), 12),
    ],
)
def test_times_are_read_as_utc(given_time, hour):
    job = VectorJob.from_dict({"job_id": "j", "job_type": "DRIFT_TEST", "input_json": {}, "locked_utc": given_time})
    assert job.locked_utc == NOON.replace(hour=hour)
    assert job.to_dict()["locked_utc"] == "2024-05-01T12:00:00+00:00"


def test_a_naive_time_is_utc_in_a_constructor_and_when_set_later():
    run = VectorRun("r", "j", "w", started_utc=datetime(2024, 5, 1, 12))
    assert run.started_utc == NOON
    run.completed_utc = datetime(2024, 5, 1, 12)
    assert run.to_dict()["completed_utc"] == "2024-05-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"job_type": "EMBED"}, r"VectorJob\.job_type: 'EMBED'"),
        ({"status": "new"}, r"VectorJob\.status: 'new'"),
        ({"created_utc": "yesterday"}, r"VectorJob\.created_utc: .*yesterday"),
        ({"locked_utc": 12}, r"VectorJob\.locked_utc"),
        ({"locked_utc": "0001-01-01T00:00:00+14:00"}, r"VectorJob\.locked_utc"),
    ],
)
def test_from_dict_names_the_key_of_a_bad_value(changes, message):
    with pytest.raises(InvalidRecord, match=message):
        VectorJob.from_dict({"job_id": "j", "job_type": "DRIFT_TEST", "input_json": {}, **changes})


@pytest.mark.parametrize("given_type", [JobType.DRIFT_TEST, "DRIFT_TEST"])
def test_enums_are_read_from_values_and_members(given_type):
    job = VectorJob.from_dict({"job_id": "j", "job_type": given_type, "input_json": {}, "status": "DEADLETTER"})
    assert (job.job_type, job.status) == (JobType.DRIFT_TEST, JobStatus.DEADLETTER)
    assert job.to_dict()["job_type"] == "DRIFT_TEST"


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (VectorJob, {"job_type": JobType.CHUNK_SOURCE, "input_json": {"a": 1}, "priority": 5}),
        (VectorRun, {"job_id": "j", "worker_id": "w", "endpoint_url": "http://h"}),
        (VectorRetrieval, {"embedding_space_id": "s", "query_text": "q", "top_k": 5, "filters": {"a": 1}}),
        (
            VectorEmbedding,
            {
                "chunk_id": "c",
                "embedding_space_id": "s",
                "input_content_sha256": "h",
                "vector": [0.25, 0.5],
                "run_id": "r",
            },
        ),
        (
            EmbeddingFailure,
            {
                "chunk_id": "c",
                "embedding_space_id": "s",
                "input_content_sha256": "h",
                "reason": "empty",
                "error_message": "m",
                "attempt_count": 2,
            },
        ),
    ],
)
def test_create_new_makes_an_id_and_keeps_what_is_given(cls, arguments):
    key = REQUIRED[cls].split()[0]
    one, other = cls.create_new(**arguments), cls.create_new(**arguments)
    assert is_uuid(getattr(one, key))
    assert getattr(one, key) != getattr(other, key)
    assert {name: getattr(one, name) for name in arguments} == arguments
    *positional, _ = arguments.values()  # the last one is optional in every class
    assert list(dataclasses.asdict(cls.create_new(*positional)).values())[1 : 1 + len(positional)] == positional


@given(st.lists(float32s, min_size=1))
def test_an_embedding_has_its_vectors_hash_and_length(vector):
    embedding = VectorEmbedding.create_new("c", "s", "h", np.array(vector, dtype=np.float32))
    assert embedding.vector == vector
    assert {type(number) for number in embedding.vector} == {float}
    assert embedding.dimensions == len(vector)
    assert embedding.vector_sha256 == compute_vector_hash(vector)
    with pytest.raises(AttributeError):
        embedding.dimensions = 1


@given(st.lists(float32s, min_size=1))
def test_a_canary_has_its_vectors_hash_and_length(vector):
    canary = EmbeddingCanary.create_new("s", 3, "h", np.array(vector, dtype=np.float32), runtime="r 1")
    assert (canary.canary_index, canary.canary_sha256, canary.runtime) == (3, "h", "r 1")
    assert canary.vector == vector
    assert canary.dimensions == len(vector)
    assert canary.vector_sha256 == compute_vector_hash(vector)


@pytest.mark.parametrize("vector", [[], [float("nan")], [1e39], [[1.0]]])
def test_an_embedding_of_a_bad_vector_is_refused(vector):
    with pytest.raises(InvalidRecord, match="vector"):
        VectorEmbedding.create_new("c", "s", "h", vector)
    with pytest.raises(InvalidRecord, match="vector"):
        EmbeddingCanary.create_new("s", 0, "h", vector)


def test_columns_have_the_lengths_that_dbt_declares():
    models_dir = Path(__file__).resolve().parents[3] / "models" / "ledgers"
    for ledger in LEDGERS:
        (model,) = yaml.safe_load((models_dir / f"{ledger.table}.yml").read_text(encoding="utf-8"))["models"]
        declared = {
            column["name"]: re.fullmatch(r"varchar\((\d+)\)", column["data_type"]) for column in model["columns"]
        }
        lengths = {name: int(found.group(1)) if found else None for name, found in declared.items()}
        assert {column.name: column.length for column in ledger.columns} == {
            column.name: lengths[column.name] for column in ledger.columns
        }
