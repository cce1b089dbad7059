with

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

all_chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}

),

embeddings as (

    select * from {{ ref('vector_runtime', 'embedding') }}

),

states as (

    select * from {{ ref('vector_runtime', 'embedding_state') }}

),

counted as (

    select
        embedding_space_id,
        source_type,
        count(*) as chunk_count,
        sum(case when state = 'current' then 1 else 0 end) as current_count,
        sum(case when state = 'quarantined' then 1 else 0 end) as quarantined_count,
        sum(case when state = 'pending' then 1 else 0 end) as pending_count,
        sum(is_truncated) as truncated_count
    from states
    group by embedding_space_id, source_type

),

-- Vectors of texts that a chunk no longer has, or of retired chunks: kept as history, never searched.
outdated as (

    select
        embeddings.embedding_space_id,
        all_chunks.source_type,
        count(*) as stale_count
    from embeddings
    inner join all_chunks
        on embeddings.chunk_id = all_chunks.chunk_id
    where
        all_chunks.retired_utc is not null
        or embeddings.input_content_sha256 <> all_chunks.content_sha256
    group by embeddings.embedding_space_id, all_chunks.source_type

),

-- A source type that has vanished may have vectors all the same.
covered as (

    select
        embedding_space_id,
        source_type
    from counted
    union
    select
        embedding_space_id,
        source_type
    from outdated

),

-- Rounded down: 100 means every chunk.
final as (

    select
        spaces.space_key,
        covered.embedding_space_id,
        spaces.is_active,
        covered.source_type,
        cast(coalesce(counted.chunk_count, 0) as integer) as chunk_count,
        cast(coalesce(counted.current_count, 0) as integer) as current_count,
        cast(coalesce(counted.pending_count, 0) as integer) as pending_count,
        cast(coalesce(counted.quarantined_count, 0) as integer) as quarantined_count,
        cast(coalesce(outdated.stale_count, 0) as integer) as stale_count,
        cast(coalesce(counted.truncated_count, 0) as integer) as truncated_count,
        floor(10000 * {{ as_double('counted.current_count') }} / counted.chunk_count) / 100 as coverage_percent
    from covered
    inner join spaces
        on covered.embedding_space_id = spaces.embedding_space_id
    left join counted
        on
            covered.embedding_space_id = counted.embedding_space_id
            and covered.source_type = counted.source_type
    left join outdated
        on
            covered.embedding_space_id = outdated.embedding_space_id
            and covered.source_type = outdated.source_type

)

select * from final
