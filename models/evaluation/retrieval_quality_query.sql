with

retrievals as (

    select * from {{ ref('vector_runtime', 'eval_retrieval') }}

),

queries as (

    select * from {{ ref('vector_runtime', 'eval_query_input') }}

),

ranking as (

    select * from {{ ref('vector_runtime', 'eval_ranking') }}

),

judgments as (

    select * from {{ ref('vector_runtime', 'eval_judgment_input') }}

),

found as (

    select
        retrieval_id,
        count(*) as source_count,
        min(case when relevance > 0 then source_rank end) as first_relevant_rank,
        sum(case when relevance > 0 and source_rank <= 10 then 1.0e0 else 0.0e0 end) as relevant_at_10,
        sum(case when relevance > 0 and source_rank <= 100 then 1.0e0 else 0.0e0 end) as relevant_at_100,
        sum(
            case when relevance > 0 and source_rank <= 10 then relevance else 0 end
            * log10(2.0e0) / log10(source_rank + 1)
        ) as dcg_at_10
    from ranking
    group by retrieval_id

),

ideal_ranking as (

    select
        query_id,
        relevance,
        row_number() over (partition by query_id order by relevance desc, source_id asc) as ideal_rank
    from judgments
    where relevance > 0

),

ideal as (

    select
        query_id,
        count(*) as relevant_count,
        sum(
            case when ideal_rank <= 10 then relevance else 0 end
            * log10(2.0e0) / log10(ideal_rank + 1)
        ) as ideal_dcg_at_10
    from ideal_ranking
    group by query_id

),

-- Of a question without a relevant judgment, every metric is null; of one that found nothing, zero. What looks deeper
-- than the search did is not known.
final as (

    select
        retrievals.retrieval_id,
        retrievals.evaluation_id,
        retrievals.query_id,
        queries.query_text,
        {{ boolean_of('ideal.query_id is null') }} as is_unjudged,
        cast(coalesce(ideal.relevant_count, 0) as integer) as relevant_count,
        cast(coalesce(found.source_count, 0) as integer) as source_count,
        case when retrievals.top_k >= 10 then coalesce(found.relevant_at_10, 0.0e0) / ideal.relevant_count end
            as recall_at_10,
        case when retrievals.top_k >= 100 then coalesce(found.relevant_at_100, 0.0e0) / ideal.relevant_count end
            as recall_at_100,
        case
            when retrievals.top_k >= 10 and ideal.query_id is not null
                then coalesce(found.relevant_at_10, 0.0e0) / 10
        end as precision_at_10,
        case when ideal.query_id is not null then coalesce(1.0e0 / found.first_relevant_rank, 0.0e0) end
            as reciprocal_rank,
        case when retrievals.top_k >= 10 then coalesce(found.dcg_at_10, 0.0e0) / ideal.ideal_dcg_at_10 end
            as ndcg_at_10
    from retrievals
    inner join queries
        on retrievals.query_id = queries.query_id
    left join found
        on retrievals.retrieval_id = found.retrieval_id
    left join ideal
        on retrievals.query_id = ideal.query_id

)

select * from final
