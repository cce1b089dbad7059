"""Why the hits of a logged search are not those of the same search now."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vector.candidates import current_texts
from vector.contracts.ledgers import key_column
from vector.contracts.models import VectorRetrieval, VectorRetrievalHit
from vector.engines.filters import SearchFilters, naive_utc
from vector.retrieval import FoundChunk
from vector.store import VectorStore

# What float32 sums of another order may differ by.
SCORE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class HitChange:
    """A hit that is not as it was. `change` is new, gone or moved; ranks and scores are None where it was no hit.

    `reasons`, one or more of: chunk_new, chunk_retired, with source_text_changed or policy_changed where the chunk's
    source was there then and is there now; text_changed, vector_new, vector_missing, filtered_out, source_changed,
    score_moved; chunk_returned, where only the chunk's row was changed since, so that it may have been retired then or
    have had another text; and, where the hit itself is as it was, outranked or moved_up. docs/search.md tells what they
    mean.
    """

    chunk_id: str
    source_id: str | None
    change: str
    rank_then: int | None
    rank_now: int | None
    score_then: float | None
    score_now: float | None
    reasons: tuple[str, ...]


def hit_changes(
    store: VectorStore,
    retrieval: VectorRetrieval,
    filters: SearchFilters,
    then: Sequence[VectorRetrievalHit],
    now: Sequence[FoundChunk],
) -> list[HitChange]:
    """The hits that are not as they were, by rank, those that are gone by the rank they had."""
    before, after = {hit.chunk_id: hit for hit in then}, {hit.chunk_id: hit for hit in now}
    searched = naive_utc(retrieval.created_utc)
    chunks = _chunks_now(store, retrieval.embedding_space_id, list(before | after))
    passing = _passing(store, retrieval.embedding_space_id, filters, [key for key in before if key not in after])
    recut = _Recut(store, searched, [chunks[key] for key in after if key not in before])
    by_source = bool(filters.tags or filters.updated_from or filters.updated_before)
    found = []
    for chunk_id in before | after:
        was, is_now, chunk = before.get(chunk_id), after.get(chunk_id), chunks[chunk_id]
        if is_now is None:
            change, reasons = "gone", _reasons_gone(was, chunk, chunk_id in passing, recut)
        elif was is None:
            change, reasons = "new", _reasons_new(chunk, searched, by_source, recut)
        else:
            change, reasons = "moved", _reasons_moved(was, is_now)
        if reasons:
            ranks = (was and was.rank, is_now and is_now.rank)
            scores = (was and was.score, is_now and is_now.score)
            found.append(HitChange(chunk_id, chunk.source_id, change, *ranks, *scores, tuple(reasons)))
    return sorted(found, key=lambda change: (change.rank_now or change.rank_then, change.rank_then or 0))


@dataclass(frozen=True)
class _ChunkNow:
    """What there is to know of a chunk now; times are naive UTC. `text_utc` and `vector_utc` are of its current text,
    `vector_utc` None where that has no vector in the space. `updated_utc` is when the row last changed, be it only its
    reference or policy. What begins with `source` is None of a source that
    vanished; `source_utc` is when its row last changed."""

    source_id: str | None
    content_sha256: str
    created_utc: datetime
    updated_utc: datetime | None
    retired_utc: datetime | None
    policy_json: str | None
    text_utc: datetime | None
    source_created_utc: datetime | None
    source_utc: datetime | None
    source_policy: str | None
    vector_utc: datetime | None


class _Recut:
    """Why sources that are still there were cut into other chunks since a search: a chunk's id has its offsets, so that
    an edit which moves them retires chunks and makes new ones."""

    def __init__(self, store: VectorStore, searched: datetime, new: Iterable[_ChunkNow]):
        self._searched = searched
        self._policies = _policies_before(store, searched, {chunk.source_id for chunk in new if chunk.source_id})

    def reasons_retired(self, chunk: _ChunkNow) -> list[str]:
        """Of a chunk that is retired."""
        return self._reasons(chunk, {_version(chunk.policy_json)})

    def reasons_new(self, chunk: _ChunkNow) -> list[str]:
        """Of a chunk that was made after the search."""
        if chunk.source_created_utc is None or chunk.source_created_utc > self._searched:
            return []
        return self._reasons(chunk, self._policies.get(chunk.source_id, set()))

    def _reasons(self, chunk: _ChunkNow, policies: set[str | None]) -> list[str]:
        if chunk.source_utc is None or chunk.source_utc <= self._searched:
            return []
        return ["policy_changed" if policies - {chunk.source_policy} else "source_text_changed"]


def _reasons_gone(hit: VectorRetrievalHit, chunk: _ChunkNow, passes: bool, recut: _Recut) -> list[str]:
    if chunk.retired_utc is not None:
        return ["chunk_retired", *recut.reasons_retired(chunk)]
    reasons = ["text_changed"] if chunk.content_sha256 != hit.content_sha256 else []
    if chunk.vector_utc is None:
        reasons.append("vector_missing")
    elif not passes:
        reasons.append("filtered_out")
    return reasons or ["outranked"]


def _reasons_new(chunk: _ChunkNow, searched: datetime, by_source: bool, recut: _Recut) -> list[str]:
    if chunk.created_utc > searched:
        return ["chunk_new", *recut.reasons_new(chunk)]
    since = {
        "text_changed": chunk.text_utc,
        "vector_new": chunk.vector_utc,
        "source_changed": chunk.source_utc if by_source else None,
    }
    reasons = [reason for reason, moment in since.items() if _is_after(moment, searched)]
    # A text that comes back has its old version and vector again: no other time tells of its absence.
    return reasons or ["chunk_returned" if _is_after(chunk.updated_utc, searched) else "moved_up"]


def _is_after(moment: datetime | None, searched: datetime) -> bool:
    return moment is not None and moment > searched


def _reasons_moved(was: VectorRetrievalHit, is_now: FoundChunk) -> list[str]:
    if was.content_sha256 != is_now.content_sha256:
        return ["text_changed"]
    then, now = _own_score(was.metadata or {}, was.score), _own_score(is_now.components, is_now.score)
    if None not in (then, now) and not math.isclose(then, now, rel_tol=SCORE_TOLERANCE, abs_tol=SCORE_TOLERANCE):
        return ["score_moved"]
    if was.rank == is_now.rank:
        return []
    return ["outranked" if is_now.rank > was.rank else "moved_up"]


def _own_score(components: dict[str, Any], score: float) -> float | None:
    """The score that only the question, the text and the model decide: a reranker's, or that of the vectors. BM25 moves
    with every text of the space, and a fused score with the ranks of the others; None where there is nothing else."""
    if "rerank" in components:
        return score
    if "fused" in components:
        return components.get("dense")
    return None if "lexical" in components else score


def _chunks_now(store: VectorStore, embedding_space_id: str, chunk_ids: Sequence[str]) -> dict[str, _ChunkNow]:
    engine = store.engine
    with engine.staged([key_column("chunk_id")], [(chunk_id,) for chunk_id in chunk_ids]) as staged:
        rows = engine.query(
            "select chunk.chunk_id, chunk.source_id, chunk.content_sha256, chunk.created_utc, chunk.updated_utc,"
            " chunk.retired_utc, chunk.policy_json, version.created_utc, source.created_utc, source.updated_utc,"
            " source.policy_version, embedding.created_utc"
            f" from {staged} as staged inner join {engine.table('chunk')} as chunk on chunk.chunk_id = staged.chunk_id"
            f" left join {engine.table('chunk_version')} as version"
            " on version.chunk_id = chunk.chunk_id and version.content_sha256 = chunk.content_sha256"
            f" left join {engine.table('source_registry')} as source on source.source_id = chunk.source_id"
            " and source.retired_utc is null"
            f" left join {engine.table('embedding')} as embedding on embedding.chunk_id = chunk.chunk_id"
            " and embedding.input_content_sha256 = chunk.content_sha256 and embedding.embedding_space_id = ?",
            [embedding_space_id],
        )
    return {row[0]: _ChunkNow(*row[1:]) for row in rows}


def _policies_before(store: VectorStore, searched: datetime, source_ids: set[str]) -> dict[str, set[str | None]]:
    """The policies of the chunks that each of the sources has lost since."""
    if not source_ids:
        return {}
    engine = store.engine
    with engine.staged([key_column("source_id")], [(each,) for each in sorted(source_ids)]) as staged:
        rows = engine.query(
            "select distinct chunk.source_id, chunk.policy_json"
            f" from {staged} as staged inner join {engine.table('chunk')} as chunk"
            " on chunk.source_id = staged.source_id where chunk.retired_utc > ?",
            [searched],
        )
    found: dict[str, set[str | None]] = {}
    for source_id, policy_json in rows:
        found.setdefault(source_id, set()).add(_version(policy_json))
    return found


def _version(policy_json: str | None) -> str | None:
    return json.loads(policy_json).get("version") if policy_json else None


def _passing(store: VectorStore, embedding_space_id: str, filters: SearchFilters, chunk_ids: Sequence[str]) -> set[str]:
    """Those of the chunks that a search of the space with these filters may find."""
    current = set(current_texts(store, embedding_space_id, chunk_ids))
    if not filters or not current:
        return current
    engine = store.engine
    conditions, values = engine.filter_conditions(filters)
    with engine.staged([key_column("chunk_id")], [(chunk_id,) for chunk_id in current]) as staged:
        rows = engine.query(
            f"select searched.chunk_id from {engine.table('chunk')} as searched inner join {staged} as staged"
            f" on staged.chunk_id = searched.chunk_id where {' and '.join(conditions)}",
            values,
        )
    return {row[0] for row in rows}
