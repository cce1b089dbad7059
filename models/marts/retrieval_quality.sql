with

scores as (

    select * from {{ ref('vector_runtime', 'eval_score') }}

),

intervals as (

    select * from {{ ref('vector_runtime', 'evaluation_interval') }}
    where baseline_evaluation_id is null

),

means as (

    select
        evaluation_id,
        metric,
        count(*) as query_count,
        avg(score) as mean_score
    from scores
    group by evaluation_id, metric

),

-- An interval of judgments that have changed since is none of this mean.
final as (

    select
        means.evaluation_id,
        means.metric,
        means.mean_score,
        intervals.ci_lower,
        intervals.ci_upper,
        cast(means.query_count as integer) as query_count
    from means
    left join intervals
        on
            means.evaluation_id = intervals.evaluation_id
            and means.metric = intervals.metric
            and means.query_count = intervals.query_count
            and abs(means.mean_score - intervals.estimate) < 1e-9

)

select * from final
