"""Search on SQL Server: over a local copy of the vectors, in memory or on disk, or in blocks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from vector.engines.base import Engine, Found, SearchHit, SearchRequest
from vector.engines.local_copies import keep_up
from vector.engines.mapped_vectors import MappedCopies, MappedVectors
from vector.engines.vector_cache import CachedVectors, VectorCache, read_current_vectors

# Rows that are read, and vectors compared, at a time.
_BLOCK = 2000


def search(engine: Engine, cache: VectorCache, mapped: MappedCopies, request: SearchRequest) -> Found:
    """The best of the current vectors that pass the filters, which are answered by the server in every case."""
    source = CurrentVectors(engine, request.embedding_space_id, len(request.vector))
    chunk_ids = _filtered_chunks(engine, request)
    copied = _copied(engine, cache, mapped, source)
    if copied is not None:
        return copied.best(request.vector, request.distance_metric, request.top_k, chunk_ids)
    return _search_in_blocks(source, request, chunk_ids)


def search_by_sketches(
    engine: Engine, cache: VectorCache, mapped: MappedCopies, request: SearchRequest
) -> Found | None:
    """As `search`, of the vectors that are nearest by the sketches of a copy on disk; None where there is none, or
    filters leave so few that they had better all be compared."""
    copied = _copied(engine, cache, mapped, CurrentVectors(engine, request.embedding_space_id, len(request.vector)))
    if not isinstance(copied, MappedVectors):
        return None
    chunk_ids = _filtered_chunks(engine, request)
    return copied.best_by_sketches(request.vector, request.distance_metric, request.top_k, chunk_ids)


def sketched_vectors(
    engine: Engine, cache: VectorCache, mapped: MappedCopies, embedding_space_id: str, dimensions: int
) -> int:
    """The number of vectors of a space whose copy is on disk, with sketches; 0 where it is not."""
    copied = _copied(engine, cache, mapped, CurrentVectors(engine, embedding_space_id, dimensions))
    return int(copied.current.sum()) if isinstance(copied, MappedVectors) else 0


def _copied(
    engine: Engine, cache: VectorCache, mapped: MappedCopies, source: CurrentVectors
) -> CachedVectors | MappedVectors | None:
    """The copy in memory, or where that does not hold the space, the one on disk."""
    # A row that an erasure has deleted leaves no version behind that could tell.
    erasures = keep_up(cache.folder, engine)
    cache.keep_up(erasures)
    if not cache.megabytes or not _has_row_versions(engine):
        return None
    # To count the vectors takes the server longer than a search.
    found = mapped.current(source, erasures) if mapped.are_there(source) else None
    if found and not cache.fits(int(found.current.sum()), source.dimensions):
        return found
    return cache.current(source) or mapped.current(source, erasures)


def has_tag(key: str, value: str) -> tuple[str, list[Any]]:
    """The condition that the object `source.tags_json` has this value at the key, or in the array there."""
    # By OPENJSON and not by a path: a path cannot hold every key, and its JSON_VALUE ends at 4,000 characters.
    # Of an array it would give positions, which are no keys.
    opening = "ltrim(translate(source.tags_json, concat(char(9), char(10), char(13)), '   '))"
    tags = f"case when isjson(source.tags_json) = 1 and {opening} like '{{%' then source.tags_json end"
    members = "case when tag.type = 4 then tag.value else N'[]' end"
    collation = "collate Latin1_General_100_BIN2"
    return (
        f"exists (select 1 from openjson({tags}) as tag where tag.[key] {collation} = cast(? as nvarchar(4000))"
        f" and (tag.type in (1, 2, 3) and tag.value {collation} = cast(? as nvarchar(max))"
        f" or exists (select 1 from openjson({members}) as member"
        f" where member.value {collation} = cast(? as nvarchar(max)))))",
        [key, value, value],
    )


def current_fingerprint(engine: Engine, embedding_space_id: str) -> str:
    """The number of current chunks of the space and the sum of their digests."""
    ((digest,),) = engine.query(
        f"select {digest_of(chunk_digest())} from {engine.table('embedding_current')} as searched"
        " where searched.embedding_space_id = ?",
        [embedding_space_id],
    )
    return str(digest)


def change_token(engine: Engine) -> str | None:
    """The database's last row version, which each written row of both ledgers raises; their numbers of rows, which tell
    of deleted ones; and when the database was made, or restored. None without row versions, and while a write is open,
    whose version is out already."""
    if not _has_row_versions(engine):
        return None
    ((next_version, last, *others),) = engine.query(
        "select cast(min_active_rowversion() as bigint), cast(@@dbts as bigint),"
        f" (select count_big(*) from {engine.table('chunk')}),"
        f" (select count_big(*) from {engine.table('embedding')}),"
        " (select convert(varchar(33), create_date, 126) from sys.databases where database_id = db_id())"
    )
    return "-".join(map(str, [last, *others])) if next_version == last + 1 else None


def chunk_digest() -> str:
    """64 bits of a SHA-256 of the chunk's id, its text's hash, the moment of its last change, and its context."""
    row = (
        "concat(searched.chunk_id, ' ', searched.input_content_sha256, ' ', searched.chunk_updated_utc, ' ',"
        " searched.chunk_context)"
    )
    utf8 = f"cast({row} collate Latin1_General_100_CI_AS_SC_UTF8 as varchar(max))"
    return f"cast(substring(hashbytes('SHA2_256', {utf8}), 1, 8) as bigint)"


def digest_of(digests: str) -> str:
    """Their number and their sum."""
    total = f"coalesce(sum(cast({digests} as decimal(38, 0))), 0)"
    return f"concat(count_big(*), '-', cast({total} as varchar(40)))"


def _filtered_chunks(engine: Engine, request: SearchRequest) -> list[str] | None:
    """Ids of the chunks that pass the filters; None where there are none."""
    conditions, values = engine.filter_conditions(request.filters)
    if not conditions:
        return None
    rows = engine.query(
        f"select searched.chunk_id from {engine.table('chunk')} as searched"
        f" where {' and '.join(['searched.retired_utc is null', *conditions])}",
        values,
    )
    return [row[0] for row in rows]


def _search_in_blocks(source: CurrentVectors, request: SearchRequest, chunk_ids: list[str] | None) -> Found:
    """Without a copy: a block of vectors at a time, keeping the best so far, so that memory stays flat."""
    best: list[SearchHit] = []
    compared, total = 0, 0.0
    rows = source.current_vectors(chunk_ids)
    while block := list(islice(rows, _BLOCK)):
        ids, hashes, vectors = zip(*block, strict=True)
        found = CachedVectors(0, np.asarray(ids), np.asarray(hashes), np.asarray(vectors, dtype=np.float32))
        hits, count, mean = found.best(request.vector, request.distance_metric, request.top_k)
        best = sorted([*best, *hits], key=lambda hit: (-hit.score, hit.chunk_id))[: request.top_k]
        compared, total = compared + count, total + count * mean
    return Found(best, compared, total / compared if compared else 0.0)


def _has_row_versions(engine: Engine) -> bool:
    """Whether both ledgers stamp their rows; a server that only speaks the protocol may not."""
    ((count,),) = engine.query(
        "select count(*) from sys.columns where name = 'row_version' and object_id in (object_id(?), object_id(?))",
        [engine.table("chunk"), engine.table("embedding")],
    )
    return count == 2


class CurrentVectors:
    """The current vectors of one space, as the local copy reads them."""

    def __init__(self, engine: Engine, embedding_space_id: str, dimensions: int):
        self.engine = engine
        self.space = embedding_space_id
        self.dimensions = dimensions
        ((server, database),) = engine.query(
            "select cast(serverproperty('ServerName') as nvarchar(256)), concat(name, ' ', create_date)"
            " from sys.databases where database_id = db_id()"
        )
        self.identity = f"{server}/{database}/{engine.schema}/{embedding_space_id}"

    def version(self) -> int:
        """Below the oldest write that is still open, so that no later commit is missed."""
        return int(self.engine.query("select cast(min_active_rowversion() as bigint) - 1")[0][0])

    def count(self) -> int:
        """Number of current vectors."""
        sql = f"select count(*) from {self.engine.table('embedding_current')} where embedding_space_id = ?"
        return int(self.engine.query(sql, [self.space])[0][0])

    def changed_chunks(self, since: int) -> list[str]:
        """Chunks whose own row, or an embedding of theirs in the space, was written after the version."""
        written_since = "row_version > cast(cast(? as bigint) as binary(8))"
        rows = self.engine.query(
            f"select chunk_id from {self.engine.table('chunk')} where {written_since}"
            f" union select chunk_id from {self.engine.table('embedding')}"
            f" where {written_since} and embedding_space_id = ?",
            [since, since, self.space],
        )
        return [row[0] for row in rows]

    def current_vectors(self, chunk_ids: Sequence[str] | None) -> Iterator[tuple[str, str, np.ndarray]]:
        """Current vectors of these chunks, or of all."""
        return read_current_vectors(self.engine, self.space, self.dimensions, chunk_ids, json.loads)
