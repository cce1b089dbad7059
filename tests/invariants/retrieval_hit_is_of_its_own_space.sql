-- Hits whose chunk, with the text it had then, has no vector in the space that was searched.
select
    retrieval_hit.retrieval_id,
    retrieval_hit.rank
from {{ ref('vector_runtime', 'retrieval_hit') }} as retrieval_hit
inner join {{ ref('vector_runtime', 'retrieval') }} as retrieval
    on retrieval_hit.retrieval_id = retrieval.retrieval_id
left join {{ ref('vector_runtime', 'embedding') }} as embedding
    on
        retrieval_hit.chunk_id = embedding.chunk_id
        and retrieval_hit.content_sha256 = embedding.input_content_sha256
        and retrieval.embedding_space_id = embedding.embedding_space_id
where embedding.embedding_id is null
