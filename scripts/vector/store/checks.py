"""What a record must be before it is stored. Each check gives the record as it is stored, or raises InvalidRecord that
names the record and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vector.contracts.identity import as_float32, compute_content_hash, compute_vector_hash, is_blank
from vector.contracts.models import EmbeddingCanary, EmbeddingSpace, VectorChunk, VectorEmbedding, VectorRetrieval
from vector.errors import InvalidRecord

if TYPE_CHECKING:
    import numpy as np

Spaces = Mapping[str, EmbeddingSpace]


def checked_space(space: EmbeddingSpace, known: Spaces) -> EmbeddingSpace:
    """The space with its readable key and canonical policy. Its id must be the digest of its identity, unless it is
    that of a known space: what may change of one is for the ledger to say."""
    made = EmbeddingSpace.create_new(
        **{name: value for name, value in vars(space).items() if name != "embedding_space_id"}
    )
    if space.embedding_space_id not in known and space.embedding_space_id != made.embedding_space_id:
        raise InvalidRecord(
            f"embedding space {space.embedding_space_id}: the id of this identity is {made.embedding_space_id};"
            " make spaces with EmbeddingSpace.create_new"
        )
    for other in known.values():
        if other.space_key == made.space_key and other.embedding_space_id != space.embedding_space_id:
            raise InvalidRecord(
                f"space_key {made.space_key!r} belongs to space {other.embedding_space_id}; choose another key"
            )
    return replace(
        space,
        space_key=made.space_key,
        preprocess_policy=made.preprocess_policy,
        updated_utc=space.updated_utc or space.created_utc,
    )


def checked_chunk(chunk: VectorChunk) -> VectorChunk:
    """The chunk with the time of its last change; its hash, byte count and offsets are right, and a current one has a
    visible character."""
    about = f"chunk {chunk.chunk_id}"
    if chunk.content_sha256 != compute_content_hash(chunk.content):
        raise InvalidRecord(f"{about}: content_sha256 is not the hash of its content")
    if chunk.byte_count != len(chunk.content.encode()):
        raise InvalidRecord(f"{about}: byte_count is not the length of its content in UTF-8")
    _check_offsets(chunk.offsets, about)
    if chunk.retired_utc is None and is_blank(chunk.content):
        raise InvalidRecord(f"{about}: its content has no visible character, so it is no chunk; leave it out")
    return replace(chunk, updated_utc=chunk.updated_utc or chunk.created_utc)


def checked_embedding(embedding: VectorEmbedding, spaces: Spaces) -> VectorEmbedding:
    """The embedding with its vector as float32, which is one of its space and has the hash that it says."""
    return _with_checked_vector(embedding, spaces, f"embedding of chunk {embedding.chunk_id}")


def checked_canary(canary: EmbeddingCanary, spaces: Spaces) -> EmbeddingCanary:
    """The canary with its vector as float32, which is one of its space and has the hash that it says."""
    about = f"canary {canary.canary_index!r} of space {canary.embedding_space_id}"
    if type(canary.canary_index) is not int or canary.canary_index < 0:
        raise InvalidRecord(f"{about}: canary_index must be a whole number from 0")
    return _with_checked_vector(canary, spaces, about)


def checked_retrieval(retrieval: VectorRetrieval, spaces: Spaces) -> VectorRetrieval:
    """The retrieval with the hash of its question and, where it has a vector, that as float32, one of its space."""
    space = _known_space(retrieval.embedding_space_id, spaces)
    vector = retrieval.query_embedding
    if vector is not None:
        vector = _checked_vector(vector, space, f"retrieval {retrieval.retrieval_id}")
    query_sha256 = retrieval.query_sha256 or compute_content_hash(retrieval.query_text)
    return replace(retrieval, query_sha256=query_sha256, query_embedding=vector)


_OFFSETS = ("chunk_index", "start_offset", "end_offset")


def _check_offsets(offsets: Any, about: str) -> None:
    if not isinstance(offsets, Mapping):
        raise InvalidRecord(f"{about}: offsets must be an object, is {type(offsets).__name__}")
    for name in _OFFSETS:
        value = offsets.get(name, 0)
        if type(value) is not int or value < 0:
            raise InvalidRecord(f"{about}: {name} must be a whole number from 0, is {value!r}")
    if "end_offset" in offsets and offsets["end_offset"] < offsets.get("start_offset", 0):
        raise InvalidRecord(
            f"{about}: end_offset {offsets['end_offset']} is before start_offset {offsets['start_offset']}"
        )


def _known_space(embedding_space_id: str, spaces: Spaces) -> EmbeddingSpace:
    if embedding_space_id not in spaces:
        raise InvalidRecord(
            f"embedding space {embedding_space_id} is not in the ledger;"
            " make it with get_or_create_embedding_space, or add it to the seed and run `dbt build`"
        )
    return spaces[embedding_space_id]


def _with_checked_vector(record: Any, spaces: Spaces, about: str) -> Any:
    """An embedding or a canary."""
    vector = _checked_vector(record.vector, _known_space(record.embedding_space_id, spaces), about)
    if compute_vector_hash(vector) != record.vector_sha256:
        raise InvalidRecord(f"{about}: vector_sha256 is not the hash of the vector")
    return replace(record, vector=vector)


def _checked_vector(given: Any, space: EmbeddingSpace, about: str) -> np.ndarray:
    """The vector as float32, shape (dimensions,)."""
    try:
        vector = as_float32(given)
    except InvalidRecord as error:
        raise InvalidRecord(f"{about}: {error}") from None
    if len(vector) != space.dimensions:
        raise InvalidRecord(
            f"{about}: the vector has {len(vector)} elements, space {space.space_key} has {space.dimensions}"
        )
    if space.distance_metric == "cosine" and not vector.any():
        raise InvalidRecord(
            f"{about}: a vector of zeros has no direction, and space {space.space_key} compares directions"
        )
    return vector
