with

retrievals as (

    select * from {{ ref('eval_retrieval') }}

),

scores as (

    select * from {{ ref('eval_score') }}

),

evaluations as (

    select distinct
        evaluation_id,
        embedding_space_id,
        space_key,
        run_id,
        query_set,
        search_method,
        policy_json,
        asked_policy_json,
        filters_json,
        top_k,
        evaluated_utc
    from retrievals
    where evaluation_id in (select scores.evaluation_id from scores)

),

-- The one before is of the same space, asked in the same way.
ordered as (

    select
        *,
        lag(evaluation_id) over (
            partition by embedding_space_id, query_set, policy_json, filters_json, top_k
            order by evaluated_utc, evaluation_id
        ) as previous_evaluation_id,
        lag(evaluated_utc) over (
            partition by embedding_space_id, query_set, policy_json, filters_json, top_k
            order by evaluated_utc, evaluation_id
        ) as previous_evaluated_utc
    from evaluations

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

-- Question by question, so that a set that has grown does not look like a change of quality.
differences as (

    select
        ordered.evaluation_id,
        scores.metric,
        scores.score - previous_scores.score as difference
    from ordered
    inner join scores
        on ordered.evaluation_id = scores.evaluation_id
    inner join scores as previous_scores
        on
            ordered.previous_evaluation_id = previous_scores.evaluation_id
            and scores.query_id = previous_scores.query_id
            and scores.metric = previous_scores.metric

),

-- Scores are sums of floating-point numbers: what differs by less than 1e-9 is the same.
changes as (

    select
        evaluation_id,
        metric,
        count(*) as common_query_count,
        avg(difference) as mean_difference,
        sum(case when difference > 1e-9 then 1 else 0 end) as improved_count,
        sum(case when difference < -1e-9 then 1 else 0 end) as worsened_count
    from differences
    group by evaluation_id, metric

),

final as (

    select
        ordered.evaluation_id,
        ordered.embedding_space_id,
        ordered.space_key,
        ordered.run_id,
        ordered.query_set,
        ordered.search_method,
        ordered.policy_json,
        ordered.asked_policy_json,
        ordered.filters_json,
        ordered.top_k,
        cast(ordered.evaluated_utc as date) as evaluated_date,
        ordered.evaluated_utc,
        means.metric,
        means.mean_score,
        cast(means.query_count as integer) as query_count,
        ordered.previous_evaluation_id,
        ordered.previous_evaluated_utc,
        previous_means.mean_score as previous_mean_score,
        changes.mean_difference,
        cast(coalesce(changes.common_query_count, 0) as integer) as common_query_count,
        cast(coalesce(changes.improved_count, 0) as integer) as improved_query_count,
        cast(coalesce(changes.worsened_count, 0) as integer) as worsened_query_count
    from ordered
    inner join means
        on ordered.evaluation_id = means.evaluation_id
    left join means as previous_means
        on
            ordered.previous_evaluation_id = previous_means.evaluation_id
            and means.metric = previous_means.metric
    left join changes
        on
            means.evaluation_id = changes.evaluation_id
            and means.metric = changes.metric

)

select * from final
