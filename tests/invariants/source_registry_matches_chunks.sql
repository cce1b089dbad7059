-- Sources whose registered number of chunks is not the number of current chunks they have.
select
    source_registry.source_id,
    source_registry.chunk_count,
    count(chunk.chunk_id) as current_chunks
from {{ ref('vector_runtime', 'source_registry') }} as source_registry
left join {{ ref('vector_runtime', 'chunk') }} as chunk
    on
        source_registry.source_id = chunk.source_id
        and chunk.retired_utc is null
where source_registry.chunk_count is not null
group by source_registry.source_id, source_registry.chunk_count, source_registry.retired_utc
having
    (source_registry.retired_utc is null and count(chunk.chunk_id) <> source_registry.chunk_count)
    or (source_registry.retired_utc is not null and count(chunk.chunk_id) > 0)
