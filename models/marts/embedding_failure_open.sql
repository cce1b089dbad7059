with

failures as (

    select * from {{ ref('embedding_failure') }}

),

spaces as (

    select * from {{ ref('embedding_space') }}

),

chunks as (

    select * from {{ ref('chunk') }}
    where retired_utc is null

),

embeddings as (

    select * from {{ ref('embedding') }}

),

final as (

    select
        failures.embedding_failure_id,
        spaces.space_key,
        failures.embedding_space_id,
        spaces.is_active,
        chunks.source_id,
        chunks.source_type,
        failures.chunk_id,
        cast({{ json_text('chunks.offsets_json', '$.chunk_index') }} as integer) as chunk_index,
        failures.input_content_sha256,
        {{ substring_chars('chunks.content', 0, 80) }} as excerpt,
        failures.reason,
        failures.error_message,
        failures.attempt_count,
        failures.created_utc as first_failed_utc,
        failures.last_failed_utc,
        failures.retry_after_utc,
        case when failures.retry_after_utc <= {{ current_utc() }} then 1 else 0 end as is_due,
        failures.run_id
    from failures
    inner join spaces
        on failures.embedding_space_id = spaces.embedding_space_id
    inner join chunks
        on
            failures.chunk_id = chunks.chunk_id
            and failures.input_content_sha256 = chunks.content_sha256
    left join embeddings
        on
            failures.chunk_id = embeddings.chunk_id
            and failures.embedding_space_id = embeddings.embedding_space_id
            and failures.input_content_sha256 = embeddings.input_content_sha256
    where embeddings.embedding_id is null

)

select * from final
