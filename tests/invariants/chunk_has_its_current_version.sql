-- Chunks whose current text is missing from their history.
select chunk.chunk_id
from {{ ref('vector_runtime', 'chunk') }} as chunk
left join {{ ref('vector_runtime', 'chunk_version') }} as chunk_version
    on
        chunk.chunk_id = chunk_version.chunk_id
        and chunk.content_sha256 = chunk_version.content_sha256
where chunk_version.chunk_id is null
