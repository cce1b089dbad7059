with

intervals as (

    select * from {{ ref('vector_runtime', 'evaluation_interval') }}
    where baseline_evaluation_id is not null

),

evaluations as (

    select * from {{ ref('vector_runtime', 'evaluation') }}

),

scores as (

    select * from {{ ref('vector_runtime', 'eval_score') }}

),

-- Scores are sums of floating-point numbers: what differs by less than 1e-9 is the same.
compared as (

    select
        intervals.evaluation_interval_id,
        count(*) as query_count,
        avg(scores_a.score) as mean_a,
        avg(scores_b.score) as mean_b,
        avg(scores_b.score - scores_a.score) as mean_difference,
        sum(case when scores_b.score - scores_a.score > 1e-9 then 1 else 0 end) as win_count,
        sum(case when scores_b.score - scores_a.score < -1e-9 then 1 else 0 end) as loss_count
    from intervals
    inner join scores as scores_b
        on
            intervals.evaluation_id = scores_b.evaluation_id
            and intervals.metric = scores_b.metric
    inner join scores as scores_a
        on
            intervals.baseline_evaluation_id = scores_a.evaluation_id
            and intervals.metric = scores_a.metric
            and scores_b.query_id = scores_a.query_id
    group by intervals.evaluation_interval_id

),

-- Where the judgments have changed since, nothing is known until both are evaluated anew.
final as (

    select
        intervals.baseline_evaluation_id as evaluation_id_a,
        intervals.evaluation_id as evaluation_id_b,
        a.space_key as space_key_a,
        b.space_key as space_key_b,
        intervals.metric,
        compared.mean_a,
        compared.mean_b,
        compared.mean_difference,
        intervals.ci_lower,
        intervals.ci_upper,
        intervals.p_value,
        intervals.query_count,
        cast(compared.win_count as integer) as win_count,
        cast(compared.loss_count as integer) as loss_count,
        cast(compared.query_count - compared.win_count - compared.loss_count as integer) as tie_count,
        case
            when intervals.p_value < 0.05 and intervals.ci_lower > 0 then 'B better'
            when intervals.p_value < 0.05 and intervals.ci_upper < 0 then 'A better'
            else 'not distinguishable'
        end as verdict
    from intervals
    inner join compared
        on
            intervals.evaluation_interval_id = compared.evaluation_interval_id
            and intervals.query_count = compared.query_count
            and abs(intervals.estimate - compared.mean_difference) < 1e-9
    inner join evaluations as a
        on intervals.baseline_evaluation_id = a.evaluation_id
    inner join evaluations as b
        on intervals.evaluation_id = b.evaluation_id

)

select * from final
