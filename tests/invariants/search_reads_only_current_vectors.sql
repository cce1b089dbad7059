-- Vectors that search would read although their chunk is retired or has another text now.
select searched.embedding_id
from {{ ref('embedding_current') }} as searched
left join {{ ref('chunk') }} as chunk
    on searched.chunk_id = chunk.chunk_id
where
    chunk.chunk_id is null
    or chunk.retired_utc is not null
    or chunk.content_sha256 <> searched.input_content_sha256
