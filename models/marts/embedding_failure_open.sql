with

states as (

    select * from {{ ref('vector_runtime', 'embedding_state') }}
    where
        embedding_id is null
        and embedding_failure_id is not null

),

failures as (

    select * from {{ ref('vector_runtime', 'embedding_failure') }}

),

chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}

),

final as (

    select
        failures.embedding_failure_id,
        states.space_key,
        states.embedding_space_id,
        states.is_active,
        states.source_id,
        states.source_type,
        chunks.source_ref_json,
        states.chunk_id,
        try_cast({{ json_text('chunks.offsets_json', '$.chunk_index') }} as integer) as chunk_index,
        states.input_content_sha256,
        {{ substring_chars('chunks.content', 0, 80) }} as excerpt,
        failures.reason,
        failures.error_message,
        failures.attempt_count,
        failures.created_utc as first_failed_utc,
        failures.last_failed_utc,
        failures.retry_after_utc,
        states.is_due,
        failures.run_id
    from states
    inner join failures
        on states.embedding_failure_id = failures.embedding_failure_id
    inner join chunks
        on states.chunk_id = chunks.chunk_id

)

select * from final
