-- Vectors of a text that their chunk never had.
select embedding.embedding_id
from {{ ref('vector_runtime', 'embedding') }} as embedding
left join {{ ref('vector_runtime', 'chunk_version') }} as chunk_version
    on
        embedding.chunk_id = chunk_version.chunk_id
        and embedding.input_content_sha256 = chunk_version.content_sha256
where chunk_version.chunk_id is null
