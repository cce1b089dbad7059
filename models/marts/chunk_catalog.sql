with

chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}

),

sources as (

    select * from {{ ref('vector_runtime', 'source_registry') }}

),

embeddings as (

    select * from {{ ref('vector_runtime', 'embedding_current') }}

),

current_space_counts as (

    select
        chunk_id,
        count(*) as current_space_count
    from embeddings
    group by chunk_id

),

final as (

    select
        chunks.chunk_id,
        chunks.source_id,
        chunks.source_type,
        chunks.source_ref_json,
        sources.title as source_title,
        sources.tags_json,
        try_cast({{ json_text('chunks.offsets_json', '$.chunk_index') }} as integer) as chunk_index,
        try_cast({{ json_text('chunks.offsets_json', '$.start_offset') }} as integer) as start_offset,
        try_cast({{ json_text('chunks.offsets_json', '$.end_offset') }} as integer) as end_offset,
        chunks.content,
        chunks.context,
        chunks.content_sha256,
        chunks.byte_count,
        {{ json_text('chunks.policy_json', '$.version') }} as policy_version,
        case when chunks.retired_utc is null then 'current' else 'retired' end as chunk_status,
        cast(coalesce(current_space_counts.current_space_count, 0) as integer) as current_space_count,
        chunks.managed_by,
        chunks.retired_utc,
        chunks.created_utc,
        chunks.updated_utc
    from chunks
    left join sources
        on chunks.source_id = sources.source_id
    left join current_space_counts
        on chunks.chunk_id = current_space_counts.chunk_id

)

select * from final
