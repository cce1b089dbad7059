"""What is pending in a space: counted before anything is spent, and read in the order of the plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vector.contracts.models import EmbeddingSpace
from vector.store import VectorStore

_PLAN = "vector_embedding_plan"


@dataclass(frozen=True)
class EmbedPlan:
    """What embedding a space would do now. Counts of chunks and of distinct texts; `input_bytes` is UTF-8 of the
    texts that the model would see."""

    space_key: str
    chunks: int
    chunks_by_reason: dict[str, int]
    texts: int
    texts_reused: int
    input_bytes: int

    @property
    def texts_to_embed(self) -> int:
        """Distinct texts that the model would be called with."""
        return self.texts - self.texts_reused

    def to_dict(self) -> dict[str, Any]:
        """The fields, and texts_to_embed, for JSON."""
        return {**asdict(self), "texts_to_embed": self.texts_to_embed}


@dataclass
class PendingText:
    """A distinct text and the chunks that wait for its vector."""

    content_sha256: str
    content: str
    chunk_ids: list[str] = field(default_factory=list)


def plan_space(store: VectorStore, space: EmbeddingSpace, limit: int | None = None) -> EmbedPlan:
    """What is pending in the space, kept in a temporary table of this session for embed_space to read."""
    engine = store.engine
    engine.materialize(
        _PLAN,
        "select pending.*, dense_rank() over (order by pending.byte_count, pending.input_content_sha256)"
        " as text_number from (select chunk_id, input_content_sha256, byte_count, pending_reason,"
        " row_number() over (order by byte_count, input_content_sha256, chunk_id) as chunk_number,"
        f" case when input_content_sha256 in (select input_content_sha256 from {engine.table('embedding')}"
        " where embedding_space_id = ?) then 1 else 0 end as is_reused"
        f" from {engine.table('embedding_pending')} where embedding_space_id = ?) as pending"
        " where pending.chunk_number <= ?",
        # 2^62: no limit, in words that both engines know.
        [space.embedding_space_id, space.embedding_space_id, 2**62 if limit is None else limit],
    )
    plan = engine.materialized(_PLAN)
    reasons = engine.query(f"select pending_reason, count(*) from {plan} group by pending_reason order by 1")
    ((texts, reused, size),) = engine.query(
        "select count(*), coalesce(sum(is_reused), 0), coalesce(sum(case when is_reused = 0 then byte_count end), 0)"
        f" from (select distinct input_content_sha256, is_reused, byte_count from {plan}) as texts"
    )
    by_reason = {reason: int(count) for reason, count in reasons}
    return EmbedPlan(space.space_key, sum(by_reason.values()), by_reason, int(texts), int(reused), int(size))


def read_texts(store: VectorStore, first: int, last: int) -> list[PendingText]:
    """The texts of the plan from number `first` to `last`, counted from 1, with the chunks that wait for each. A chunk
    whose text has changed since the plan was made is left out."""
    rows = store.engine.query(
        f"select chunk.content_sha256, chunk.content, chunk.chunk_id from {store.engine.materialized(_PLAN)} as pending"
        f" inner join {store.engine.table('chunk')} as chunk"
        " on chunk.chunk_id = pending.chunk_id and chunk.content_sha256 = pending.input_content_sha256"
        " where pending.text_number between ? and ? order by pending.text_number, chunk.chunk_id",
        [first, last],
    )
    texts: dict[str, PendingText] = {}
    for content_sha256, content, chunk_id in rows:
        texts.setdefault(content_sha256, PendingText(content_sha256, content)).chunk_ids.append(chunk_id)
    return list(texts.values())


def read_vectors(store: VectorStore, space: EmbeddingSpace, first: int, last: int) -> dict[str, tuple]:
    """Vectors and token counts that the space already has for texts of the plan, by content hash."""
    engine = store.engine
    rows = engine.query(
        "select embedding.input_content_sha256, embedding.vector, embedding.input_tokens, embedding.used_tokens"
        f" from {engine.table('embedding')} as embedding inner join"
        " (select same.input_content_sha256, min(same.embedding_id) as embedding_id"
        f" from {engine.table('embedding')} as same"
        f" inner join (select distinct input_content_sha256 from {engine.materialized(_PLAN)}"
        " where is_reused = 1 and text_number between ? and ?) as pending"
        " on pending.input_content_sha256 = same.input_content_sha256"
        " where same.embedding_space_id = ? group by same.input_content_sha256) as chosen"
        " on chosen.embedding_id = embedding.embedding_id",
        [first, last, space.embedding_space_id],
    )
    return {sha256: (engine.decode_vector(vector), *tokens) for sha256, vector, *tokens in rows}
