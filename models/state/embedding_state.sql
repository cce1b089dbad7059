with

chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}
    where retired_utc is null

),

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

embeddings as (

    select * from {{ ref('vector_runtime', 'embedding') }}

),

failures as (

    select * from {{ ref('vector_runtime', 'embedding_failure') }}

),

wanted as (

    select
        chunks.chunk_id,
        spaces.embedding_space_id,
        spaces.space_key,
        spaces.is_active,
        chunks.content_sha256 as input_content_sha256,
        chunks.source_id,
        chunks.source_type,
        chunks.byte_count
    from chunks
    cross join spaces

),

joined as (

    select
        wanted.*,
        embeddings.embedding_id,
        embeddings.truncated_flag,
        failures.embedding_failure_id,
        failures.retry_after_utc,
        case when failures.retry_after_utc <= {{ current_utc() }} then 1 else 0 end as is_due
    from wanted
    left join embeddings
        on
            wanted.chunk_id = embeddings.chunk_id
            and wanted.embedding_space_id = embeddings.embedding_space_id
            and wanted.input_content_sha256 = embeddings.input_content_sha256
    left join failures
        on
            wanted.chunk_id = failures.chunk_id
            and wanted.embedding_space_id = failures.embedding_space_id
            and wanted.input_content_sha256 = failures.input_content_sha256

),

final as (

    select
        chunk_id,
        embedding_space_id,
        space_key,
        is_active,
        input_content_sha256,
        source_id,
        source_type,
        byte_count,
        case
            when embedding_id is not null then 'current'
            when embedding_failure_id is not null and is_due = 0 then 'quarantined'
            else 'pending'
        end as state,
        case when {{ is_true('truncated_flag') }} then 1 else 0 end as is_truncated,
        embedding_id,
        embedding_failure_id,
        retry_after_utc,
        is_due
    from joined

)

select * from final
