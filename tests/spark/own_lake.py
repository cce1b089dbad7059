"""The ledgers and state views as tables of a lake, made without dbt: for tests of what Python does with them.

Columns are those of `vector.contracts.ledgers`, the views say in few words what the models say. `test_spark_*` of the
dbt project compare those with DuckDB's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from vector.contracts.identity import compute_content_hash
from vector.contracts.ledgers import LEDGERS
from vector.store import VectorStore

_KINDS = {
    "text": "string", "json": "string", "integer": "bigint", "real": "double", "boolean": "boolean",
    "utc": "timestamp_ntz", "vector": "array<float>",
}  # fmt: skip
_NOW = datetime(2026, 1, 1)
_VIEWS = {
    "embedding_state": """
        select chunk.chunk_id, space.embedding_space_id, space.space_key, space.is_active,
            chunk.content_sha256 as input_content_sha256, chunk.source_id, chunk.source_type, chunk.byte_count,
            case when embedding.embedding_id is not null then 'current'
                when failure.embedding_failure_id is not null and (failure.retry_after_utc is null
                    or failure.retry_after_utc > to_utc_timestamp(current_timestamp(), 'UTC'))
                    then 'quarantined' else 'pending' end as state,
            embedding.embedding_id
        from vector.chunk as chunk cross join vector.embedding_space as space
        left join vector.embedding as embedding on embedding.chunk_id = chunk.chunk_id
            and embedding.embedding_space_id = space.embedding_space_id
            and embedding.input_content_sha256 = chunk.content_sha256
        left join vector.embedding_failure as failure on failure.chunk_id = chunk.chunk_id
            and failure.embedding_space_id = space.embedding_space_id
            and failure.input_content_sha256 = chunk.content_sha256
        where chunk.retired_utc is null""",
    "embedding_pending": """
        select chunk_id, embedding_space_id, space_key, input_content_sha256, source_id, source_type, byte_count,
            'new' as pending_reason from vector.embedding_state where state = 'pending' and is_active""",
    "embedding_current": """
        select embedding.embedding_id, embedding.chunk_id, embedding.embedding_space_id, space.space_key,
            embedding.dimensions, embedding.input_content_sha256, embedding.vector, embedding.vector_sha256,
            embedding.created_utc, chunk.source_id, chunk.source_type, chunk.context as chunk_context,
            chunk.updated_utc as chunk_updated_utc
        from vector.embedding as embedding inner join vector.chunk as chunk on embedding.chunk_id = chunk.chunk_id
            and embedding.input_content_sha256 = chunk.content_sha256 and chunk.retired_utc is null
        left join vector.embedding_space as space on space.embedding_space_id = embedding.embedding_space_id""",
    "space_status": "select embedding_space_id, space_key, false as is_default from vector.embedding_space",
    "search_setting": "select '*' as source_type, 'none' as search_language",
}


def make_tables(session: Any) -> None:
    """The namespace `vector`, empty."""
    session.sql("create namespace if not exists vector")
    for ledger in LEDGERS:
        columns = ", ".join(
            f"{column.name} {_KINDS[column.kind]}{' not null' if column.name in ledger.key else ''}"
            for column in ledger.columns
        )
        if ledger.table == "embedding":
            columns += ", dimensions bigint"
        if ledger.table == "embedding_canary":
            columns += ", dimensions bigint"
        by = " partitioned by (embedding_space_id)" if ledger.table == "embedding" else ""
        session.sql(f"create table vector.{ledger.table} ({columns}) using iceberg{by}")
    session.sql(
        "create table vector.chunk_version (chunk_id string not null, content_sha256 string not null, content string,"
        " created_utc timestamp_ntz) using iceberg"
    )
    for name, select in _VIEWS.items():
        session.sql(f"create view vector.{name} as {select}")


def add_chunks(store: VectorStore, texts: dict[str, str], source_type: str = "article") -> None:
    """Chunks with their versions and a source each, by the name of the source."""
    from vector.contracts.ledgers import CHUNK, SOURCE_REGISTRY
    from vector.contracts.models import VectorChunk, VectorSourceRegistry
    from vector.store import ledger_io

    chunks, sources = [], []
    for name, text in texts.items():
        sha256 = compute_content_hash(text)
        chunks.append(
            VectorChunk(
                chunk_id=compute_content_hash(f"chunk {name}"),
                source_id=name,
                source_type=source_type,
                source_ref={},
                offsets={},
                content=text,
                content_sha256=sha256,
                byte_count=len(text.encode()),
                policy={},
                managed_by="dbt",
                created_utc=_NOW,
                updated_utc=_NOW,
            )  # fmt: skip
        )
        sources.append(
            VectorSourceRegistry(name, source_type, {}, title=name, tags={"team": ["a", name]}, managed_by="dbt")
        )
    engine = store.engine
    ledger_io.insert_new(engine, CHUNK, ledger_io.rows_by_key(engine, CHUNK, chunks).values())
    ledger_io.insert_new(engine, SOURCE_REGISTRY, ledger_io.rows_by_key(engine, SOURCE_REGISTRY, sources).values())
    versions = [(chunk.chunk_id, chunk.content_sha256, chunk.content, _NOW) for chunk in chunks]
    columns = [each for each in CHUNK.columns if each.name in ("chunk_id", "content_sha256", "content", "created_utc")]
    order = ("chunk_id", "content_sha256", "content", "created_utc")
    staged_columns = sorted(columns, key=lambda each: order.index(each.name))
    with engine.staged(staged_columns, versions) as staged:
        engine.insert_new("chunk_version", staged, order, ("chunk_id", "content_sha256"))
