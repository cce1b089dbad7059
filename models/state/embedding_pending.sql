with

-- An embedding_id that is null says no more than the state, but lets the engine plan an anti-join.
pending as (

    select * from {{ ref('vector_runtime', 'embedding_state') }}
    where
        embedding_id is null
        and state = 'pending'
        and {{ is_true('is_active') }}

),

embeddings as (

    select * from {{ ref('vector_runtime', 'embedding') }}

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
        pending.chunk_id,
        pending.embedding_space_id,
        pending.space_key,
        pending.input_content_sha256,
        pending.source_id,
        pending.source_type,
        pending.byte_count,
        case
            when pending.is_due = 1 then 'failure_due'
            when earlier_versions.chunk_id is not null then 'text_changed'
            when begun_spaces.embedding_space_id is null then 'space_new'
            else 'new'
        end as pending_reason
    from pending
    left join earlier_versions
        on
            pending.chunk_id = earlier_versions.chunk_id
            and pending.embedding_space_id = earlier_versions.embedding_space_id
    left join begun_spaces
        on pending.embedding_space_id = begun_spaces.embedding_space_id

)

select * from final
