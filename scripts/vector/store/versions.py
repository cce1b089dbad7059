"""The history of chunks: every text that a chunk ever had, which its vectors and hits refer to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vector.contracts import ledgers
from vector.contracts.ledgers import key_column
from vector.contracts.models import VectorRetrievalHit
from vector.engines.base import Engine
from vector.errors import InvalidRecord
from vector.store import ledger_io

_KEY = (key_column("chunk_id"), key_column("content_sha256"))


def keep_versions(engine: Engine, pairs: Iterable[tuple[str, str]]) -> None:
    """Adds the current texts of these (chunk, content hash) to the history, where dbt has not done so yet."""
    version = engine.table("chunk_version")
    with engine.staged(_KEY, sorted(set(pairs))) as staged:
        engine.execute(
            f"insert into {version} (chunk_id, content_sha256, content, created_utc)"
            f" select chunk.chunk_id, chunk.content_sha256, chunk.content, chunk.updated_utc"
            f" from {staged} as staged inner join {engine.table('chunk')} as chunk"
            " on chunk.chunk_id = staged.chunk_id and chunk.content_sha256 = staged.content_sha256"
            f" where not exists (select 1 from {version} as version"
            " where version.chunk_id = staged.chunk_id and version.content_sha256 = staged.content_sha256)"
        )


def known_versions(engine: Engine, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the pairs (chunk, content hash) that are versions in the history."""
    if not (wanted := sorted(set(pairs))):
        return set()
    with engine.staged(_KEY, wanted) as staged:
        rows = engine.query(
            f"select staged.chunk_id, staged.content_sha256 from {staged} as staged"
            f" inner join {engine.table('chunk_version')} as version"
            " on version.chunk_id = staged.chunk_id and version.content_sha256 = staged.content_sha256"
        )
    return {(chunk_id, content_sha256) for chunk_id, content_sha256 in rows}


def require_versions(engine: Engine, pairs: Iterable[tuple[str, str]]) -> None:
    """Raises InvalidRecord unless each (chunk, content hash) is a version in the history."""
    with engine.staged(_KEY, sorted(set(pairs))) as staged:
        missing = engine.query(
            f"select staged.chunk_id, staged.content_sha256 from {staged} as staged"
            f" left join {engine.table('chunk_version')} as version"
            " on version.chunk_id = staged.chunk_id and version.content_sha256 = staged.content_sha256"
            " where version.chunk_id is null order by staged.chunk_id"
        )
    if missing:
        chunk_id, content_sha256 = missing[0]
        if ledger_io.get(engine, ledgers.CHUNK, chunk_id=chunk_id) is None:
            raise InvalidRecord(f"chunk {chunk_id} is not in the ledger; save the chunk, or run `dbt build`, first")
        raise InvalidRecord(f"chunk {chunk_id} never had a text with the hash {content_sha256}")


def hits_of_versions(engine: Engine, hits: Iterable[VectorRetrievalHit]) -> list[VectorRetrievalHit]:
    """The hits, those without a content hash with their chunk's current one.

    Raises InvalidRecord when a chunk is unknown, or never had a text with the hash of its hit.
    """
    hits = list(hits)
    chunk_ids = {hit.chunk_id for hit in hits if hit.content_sha256 is None}
    chunks = ledger_io.existing_rows(engine, ledgers.CHUNK, [(chunk_id,) for chunk_id in chunk_ids])
    unknown = sorted(chunk_ids - {key[0] for key in chunks})
    if unknown:
        raise InvalidRecord(f"retrieval hit: chunk {unknown[0]} is not in the ledger; save the chunk first")
    position = ledgers.CHUNK.column_names.index("content_sha256")
    hits = [
        hit if hit.content_sha256 else replace(hit, content_sha256=chunks[(hit.chunk_id,)][position]) for hit in hits
    ]
    require_versions(engine, ((hit.chunk_id, hit.content_sha256) for hit in hits))
    return hits
