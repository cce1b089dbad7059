-- Vectors that search would read although their chunk is retired or has another text now.
select searched.embedding_id
from {{ ref('vector_runtime', 'embedding_current') }} as searched
left join {{ ref('vector_runtime', 'chunk') }} as chunk
    on searched.chunk_id = chunk.chunk_id
where
    chunk.chunk_id is null
    or chunk.retired_utc is not null
    or chunk.content_sha256 <> searched.input_content_sha256
