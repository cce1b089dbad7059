with

qualities as (

    select * from {{ ref('vector_runtime', 'retrieval_quality_query') }}
    where relevant_count > 0

),

-- Named as trec_eval's successors name them (https://ir-measur.es).
metrics as (

    select 'nDCG@10' as metric
    union all
    select 'RR' as metric
    union all
    select 'P@10' as metric
    union all
    select 'R@10' as metric
    union all
    select 'R@100' as metric

),

scores as (

    select
        qualities.retrieval_id,
        qualities.evaluation_id,
        qualities.query_id,
        metrics.metric,
        case metrics.metric
            when 'nDCG@10' then qualities.ndcg_at_10
            when 'RR' then qualities.reciprocal_rank
            when 'P@10' then qualities.precision_at_10
            when 'R@10' then qualities.recall_at_10
            when 'R@100' then qualities.recall_at_100
        end as score
    from qualities
    cross join metrics

),

-- A search that looked less deep than the metric does has no score.
final as (

    select *
    from scores
    where score is not null

)

select * from final
