with

chunks as (

    select * from {{ ref('chunk') }}
    where retired_utc is null

),

spaces as (

    select * from {{ ref('embedding_space') }}
    where {{ is_true('is_active') }}

),

embeddings as (

    select * from {{ ref('embedding') }}

),

failures as (

    select * from {{ ref('embedding_failure') }}

),

wanted as (

    select
        chunks.chunk_id,
        spaces.embedding_space_id,
        spaces.space_key,
        chunks.content_sha256 as input_content_sha256,
        chunks.source_id,
        chunks.source_type,
        chunks.byte_count
    from chunks
    cross join spaces

),

missing as (

    select wanted.*
    from wanted
    left join embeddings
        on
            wanted.chunk_id = embeddings.chunk_id
            and wanted.embedding_space_id = embeddings.embedding_space_id
            and wanted.input_content_sha256 = embeddings.input_content_sha256
    where embeddings.embedding_id is null

),

begun_spaces as (

    select distinct embedding_space_id
    from embeddings

),

-- A chunk that has a vector of an earlier text in the space has changed; one that has none is new to it.
earlier_versions as (

    select distinct
        chunk_id,
        embedding_space_id
    from embeddings

),

final as (

    select
        missing.chunk_id,
        missing.embedding_space_id,
        missing.space_key,
        missing.input_content_sha256,
        missing.source_id,
        missing.source_type,
        missing.byte_count,
        case
            when failures.embedding_failure_id is not null then 'failure_due'
            when earlier_versions.chunk_id is not null then 'text_changed'
            when begun_spaces.embedding_space_id is null then 'space_new'
            else 'new'
        end as pending_reason
    from missing
    left join earlier_versions
        on
            missing.chunk_id = earlier_versions.chunk_id
            and missing.embedding_space_id = earlier_versions.embedding_space_id
    left join begun_spaces
        on missing.embedding_space_id = begun_spaces.embedding_space_id
    left join failures
        on
            missing.chunk_id = failures.chunk_id
            and missing.embedding_space_id = failures.embedding_space_id
            and missing.input_content_sha256 = failures.input_content_sha256
    where
        failures.embedding_failure_id is null
        or failures.retry_after_utc <= {{ current_utc() }}

)

select * from final
