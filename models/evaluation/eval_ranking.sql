with

retrievals as (

    select * from {{ ref('vector_runtime', 'eval_retrieval') }}

),

hits as (

    select * from {{ ref('vector_runtime', 'retrieval_hit') }}

),

chunks as (

    select * from {{ ref('vector_runtime', 'chunk') }}

),

judgments as (

    select * from {{ ref('vector_runtime', 'eval_judgment_input') }}

),

-- A chunk of no source stands for itself.
source_hits as (

    select
        retrievals.retrieval_id,
        retrievals.query_id,
        hits.rank as hit_rank,
        hits.score,
        coalesce(chunks.source_id, hits.chunk_id) as source_id,
        row_number() over (
            partition by retrievals.retrieval_id, coalesce(chunks.source_id, hits.chunk_id)
            order by hits.rank
        ) as hit_of_source
    from retrievals
    inner join hits
        on retrievals.retrieval_id = hits.retrieval_id
    left join chunks
        on hits.chunk_id = chunks.chunk_id

),

best_hits as (

    select
        *,
        row_number() over (partition by retrieval_id order by hit_rank) as source_rank
    from source_hits
    where hit_of_source = 1

),

final as (

    select
        best_hits.retrieval_id,
        best_hits.query_id,
        best_hits.source_id,
        cast(best_hits.source_rank as integer) as source_rank,
        best_hits.hit_rank,
        best_hits.score,
        coalesce(judgments.relevance, 0) as relevance,
        {{ boolean_of('judgments.query_id is not null') }} as is_judged
    from best_hits
    left join judgments
        on
            best_hits.query_id = judgments.query_id
            and best_hits.source_id = judgments.source_id

)

select * from final
