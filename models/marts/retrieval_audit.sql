with

retrievals as (

    select * from {{ ref('vector_runtime', 'retrieval') }}

),

hits as (

    select * from {{ ref('vector_runtime', 'retrieval_hit') }}

),

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}

),

versions as (

    select * from {{ ref('vector_runtime', 'chunk_version') }}

),

sources as (

    select * from {{ ref('vector_runtime', 'source_registry') }}

),

final as (

    select
        retrievals.retrieval_id,
        hits.rank,
        retrievals.created_utc as searched_utc,
        retrievals.query_text,
        retrievals.query_sha256,
        spaces.space_key,
        {{ json_text('retrievals.policy_json', '$.method') }} as search_method,
        retrievals.policy_json,
        retrievals.top_k,
        retrievals.filters_json,
        retrievals.candidate_count,
        retrievals.exact_flag,
        retrievals.engine,
        retrievals.latency_ms,
        retrievals.run_id,
        retrievals.eval_query_id,
        retrievals.query_truncated_flag,
        hits.score,
        hits.metadata_json,
        hits.chunk_id,
        chunks.source_id,
        chunks.source_type,
        chunks.source_ref_json,
        sources.title as source_title,
        chunks.context,
        sources.tags_json,
        try_cast({{ json_text('chunks.offsets_json', '$.chunk_index') }} as integer) as chunk_index,
        try_cast({{ json_text('chunks.offsets_json', '$.start_offset') }} as integer) as start_offset,
        try_cast({{ json_text('chunks.offsets_json', '$.end_offset') }} as integer) as end_offset,
        versions.content as content_then,
        hits.content_sha256 as content_sha256_then,
        case
            -- Cut by the policy it was cut by then, a source that is still there loses a chunk to another text only.
            when
                chunks.retired_utc is not null and sources.retired_utc is null
                and {{ json_text('chunks.policy_json', '$.version') }} = sources.policy_version
                then 'source_text_changed'
            when chunks.retired_utc is not null then 'retired'
            when chunks.content_sha256 <> hits.content_sha256 then 'text_changed'
            when chunks.content_sha256 = hits.content_sha256 then 'current'
        end as chunk_status_now
    from retrievals
    left join hits
        on retrievals.retrieval_id = hits.retrieval_id
    inner join spaces
        on retrievals.embedding_space_id = spaces.embedding_space_id
    left join chunks
        on hits.chunk_id = chunks.chunk_id
    left join versions
        on
            hits.chunk_id = versions.chunk_id
            and hits.content_sha256 = versions.content_sha256
    left join sources
        on chunks.source_id = sources.source_id

)

select * from final
