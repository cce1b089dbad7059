with

retrievals as (

    select * from {{ ref('eval_retrieval') }}

),

scores as (

    select * from {{ ref('eval_score') }}

),

resamples as (

    select * from {{ ref('eval_resample') }}

),

queries as (

    select * from {{ ref('eval_query') }}

),

judgments as (

    select * from {{ ref('eval_judgment') }}

),

judged_queries as (

    select
        queries.query_set,
        count(*) as judged_count
    from queries
    where
        queries.query_id in (
            select judgments.query_id
            from judgments
            where judgments.relevance > 0
        )
    group by queries.query_set

),

evaluations as (

    select
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
        evaluated_utc,
        count(*) as retrieval_count
    from retrievals
    group by
        evaluation_id, embedding_space_id, space_key, run_id, query_set, search_method, policy_json,
        asked_policy_json, filters_json, top_k, evaluated_utc

),

positioned as (

    select
        *,
        count(*) over (partition by evaluation_id, metric) as query_count,
        row_number() over (partition by evaluation_id, metric order by query_id) - 1 as position,
        row_number() over (partition by evaluation_id, metric order by score, query_id) as rank_from_worst
    from scores

),

{{ bootstrap_intervals('positioned', 'evaluation_id', 'score') }},

means as (

    select
        evaluation_id,
        metric,
        count(*) as query_count,
        avg(score) as mean_score
    from positioned
    group by evaluation_id, metric

),

worst as (

    select
        evaluation_id,
        metric,
        {{ joined_text("concat(query_id, ' ', cast(score as decimal(6, 3)))", ', ', 'rank_from_worst') }}
            as worst_queries
    from positioned
    where rank_from_worst <= 5
    group by evaluation_id, metric

),

final as (

    select
        evaluations.evaluation_id,
        evaluations.embedding_space_id,
        evaluations.space_key,
        evaluations.run_id,
        evaluations.query_set,
        evaluations.search_method,
        evaluations.policy_json,
        evaluations.asked_policy_json,
        evaluations.filters_json,
        evaluations.top_k,
        cast(evaluations.evaluated_utc as date) as evaluated_date,
        evaluations.evaluated_utc,
        means.metric,
        means.mean_score,
        intervals.ci_lower,
        intervals.ci_upper,
        cast(coalesce(means.query_count, 0) as integer) as query_count,
        cast(evaluations.retrieval_count - coalesce(means.query_count, 0) as integer) as unjudged_query_count,
        cast(coalesce(judged_queries.judged_count, 0) - coalesce(means.query_count, 0) as integer)
            as missing_query_count,
        worst.worst_queries
    from evaluations
    left join judged_queries
        on evaluations.query_set = judged_queries.query_set
    left join means
        on evaluations.evaluation_id = means.evaluation_id
    left join intervals
        on
            means.evaluation_id = intervals.evaluation_id
            and means.metric = intervals.metric
    left join worst
        on
            means.evaluation_id = worst.evaluation_id
            and means.metric = worst.metric

)

select * from final
