with

spaces as (

    select * from {{ ref('embedding_space') }}

),

all_chunks as (

    select * from {{ ref('chunk') }}

),

chunks as (

    select * from all_chunks
    where retired_utc is null

),

embeddings as (

    select * from {{ ref('embedding') }}

),

failures as (

    select * from {{ ref('embedding_failure') }}

),

wanted as (

    select
        spaces.embedding_space_id,
        chunks.chunk_id,
        chunks.source_type,
        chunks.content_sha256
    from spaces
    cross join chunks

),

current_embeddings as (

    select
        wanted.embedding_space_id,
        wanted.source_type,
        wanted.chunk_id,
        case when embeddings.embedding_id is not null then 1 else 0 end as is_current,
        case
            when
                embeddings.embedding_id is null
                and failures.embedding_failure_id is not null
                and (failures.retry_after_utc is null or failures.retry_after_utc > {{ current_utc() }})
                then 1
            else 0
        end as is_quarantined,
        case when {{ is_true('embeddings.truncated_flag') }} then 1 else 0 end as is_truncated
    from wanted
    left join embeddings
        on
            wanted.chunk_id = embeddings.chunk_id
            and wanted.embedding_space_id = embeddings.embedding_space_id
            and wanted.content_sha256 = embeddings.input_content_sha256
    left join failures
        on
            wanted.chunk_id = failures.chunk_id
            and wanted.embedding_space_id = failures.embedding_space_id
            and wanted.content_sha256 = failures.input_content_sha256

),

counted as (

    select
        embedding_space_id,
        source_type,
        count(*) as chunk_count,
        sum(is_current) as current_count,
        sum(is_quarantined) as quarantined_count,
        sum(1 - is_current - is_quarantined) as pending_count,
        sum(is_truncated) as truncated_count
    from current_embeddings
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
        floor(10000.0e0 * counted.current_count / counted.chunk_count) / 100 as coverage_percent
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
