with

pairs as (

    select * from {{ ref('eval_pair') }}

),

scores as (

    select * from {{ ref('eval_score') }}

),

final as (

    select
        pairs.comparison_id,
        pairs.query_id,
        scores_a.metric,
        scores_a.score as score_a,
        scores_b.score as score_b,
        scores_b.score - scores_a.score as difference,
        count(*) over (partition by pairs.comparison_id, scores_a.metric) as query_count,
        row_number() over (partition by pairs.comparison_id, scores_a.metric order by pairs.query_id) - 1
            as position
    from pairs
    inner join scores as scores_a
        on pairs.retrieval_id_a = scores_a.retrieval_id
    inner join scores as scores_b
        on
            pairs.retrieval_id_b = scores_b.retrieval_id
            and scores_a.metric = scores_b.metric

)

select * from final
