{{ config(materialized='ledger', unique_key=['chunk_id', 'content_sha256']) }}

select
    chunk.chunk_id,
    chunk.content_sha256,
    chunk.content,
    {{ current_utc() }} as created_utc
from {{ ref('vector_runtime', 'chunk') }} as chunk
where not exists (
    select 1
    from {{ this }} as chunk_version
    where
        chunk_version.chunk_id = chunk.chunk_id
        and chunk_version.content_sha256 = chunk.content_sha256
)
