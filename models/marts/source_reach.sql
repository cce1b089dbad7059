with

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

sources as (

    select * from {{ ref('vector_runtime', 'source_registry') }}
    where retired_utc is null

),

vectors as (

    select * from {{ ref('vector_runtime', 'embedding_current') }}

),

retrievals as (

    select
        *,
        case when run_id is null and eval_query_id is null then 0 else 1 end as evaluation
    from {{ ref('vector_runtime', 'retrieval') }}

),

hits as (

    select * from {{ ref('vector_runtime', 'retrieval_hit') }}

),

chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}

),

searches as (

    select
        embedding_space_id,
        sum(1 - evaluation) as search_count,
        sum(evaluation) as evaluation_search_count
    from retrievals
    group by embedding_space_id

),

vector_counts as (

    select
        embedding_space_id,
        source_id,
        count(*) as current_count
    from vectors
    group by embedding_space_id, source_id

),

-- A search that found several chunks of a source found it once, at the best of their ranks.
found as (

    select
        retrievals.retrieval_id,
        retrievals.embedding_space_id,
        retrievals.created_utc,
        retrievals.evaluation,
        chunks.source_id,
        min(hits.rank) as best_rank
    from hits
    inner join retrievals
        on hits.retrieval_id = retrievals.retrieval_id
    inner join chunks
        on hits.chunk_id = chunks.chunk_id
    group by
        retrievals.retrieval_id, retrievals.embedding_space_id, retrievals.created_utc, retrievals.evaluation,
        chunks.source_id

),

reach as (

    select
        embedding_space_id,
        source_id,
        count(*) as found_count,
        min(best_rank) as best_rank,
        avg({{ as_double('best_rank') }}) as mean_rank,
        min(created_utc) as first_found_utc,
        max(created_utc) as last_found_utc
    from found
    where evaluation = 0
    group by embedding_space_id, source_id

),

evaluation_reach as (

    select
        embedding_space_id,
        source_id,
        count(*) as found_count
    from found
    where evaluation = 1
    group by embedding_space_id, source_id

),

final as (

    select
        spaces.space_key,
        spaces.embedding_space_id,
        sources.source_id,
        sources.source_type,
        sources.source_ref_json,
        sources.title as source_title,
        sources.tags_json,
        sources.status as source_status,
        sources.created_utc as registered_utc,
        reach.best_rank,
        reach.mean_rank,
        reach.first_found_utc,
        reach.last_found_utc,
        cast(coalesce(vector_counts.current_count, 0) as integer) as current_count,
        cast(coalesce(searches.search_count, 0) as integer) as search_count,
        cast(coalesce(reach.found_count, 0) as integer) as found_count,
        cast(coalesce(searches.evaluation_search_count, 0) as integer) as evaluation_search_count,
        cast(coalesce(evaluation_reach.found_count, 0) as integer) as evaluation_found_count,
        {{ as_double('coalesce(reach.found_count, 0)') }} / nullif(searches.search_count, 0) as found_share,
        case
            when coalesce(searches.search_count, 0) = 0 then 'never searched'
            when reach.found_count is null then 'never found'
            when reach.found_count = searches.search_count then 'always found'
            else 'sometimes found'
        end as reach
    from spaces
    cross join sources
    left join vector_counts
        on
            spaces.embedding_space_id = vector_counts.embedding_space_id
            and sources.source_id = vector_counts.source_id
    left join searches
        on spaces.embedding_space_id = searches.embedding_space_id
    left join reach
        on
            spaces.embedding_space_id = reach.embedding_space_id
            and sources.source_id = reach.source_id
    left join evaluation_reach
        on
            spaces.embedding_space_id = evaluation_reach.embedding_space_id
            and sources.source_id = evaluation_reach.source_id

)

select * from final
