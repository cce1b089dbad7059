with

pairs as (

    select * from {{ ref('eval_pair') }}

),

differences as (

    select * from {{ ref('eval_difference') }}

),

resamples as (

    select * from {{ ref('eval_resample') }}

),

comparisons as (

    select
        comparison_id,
        query_set,
        search_method,
        asked_policy_json,
        filters_json,
        top_k,
        embedding_space_id_a,
        embedding_space_id_b,
        space_key_a,
        space_key_b,
        count(*) as common_query_count,
        min(case when searched_utc_a < searched_utc_b then searched_utc_a else searched_utc_b end)
            as searched_from_utc,
        max(case when searched_utc_a > searched_utc_b then searched_utc_a else searched_utc_b end)
            as searched_to_utc
    from pairs
    group by
        comparison_id, query_set, search_method, asked_policy_json, filters_json, top_k, embedding_space_id_a,
        embedding_space_id_b, space_key_a, space_key_b

),

means as (

    select
        comparison_id,
        metric,
        count(*) as query_count,
        avg(score_a) as mean_a,
        avg(score_b) as mean_b,
        avg(difference) as mean_difference,
        sum(case when difference > 1e-9 then 1 else 0 end) as win_count,
        sum(case when difference < -1e-9 then 1 else 0 end) as loss_count
    from differences
    group by comparison_id, metric

),

{{ bootstrap_intervals('differences', 'comparison_id', 'difference') }},

-- Were A and B the same, each question could as well have gone the other way.
randomized_means as (

    select
        differences.comparison_id,
        differences.metric,
        resamples.replicate,
        avg(resamples.sign * differences.difference) as mean_difference
    from differences
    inner join resamples
        on differences.position = resamples.position
    group by differences.comparison_id, differences.metric, resamples.replicate

),

p_values as (

    select
        means.comparison_id,
        means.metric,
        (1.0e0 + sum(
            case when abs(randomized_means.mean_difference) >= abs(means.mean_difference) - 1e-9 then 1 else 0 end
        )) / (1 + count(*)) as p_value
    from means
    inner join randomized_means
        on
            means.comparison_id = randomized_means.comparison_id
            and means.metric = randomized_means.metric
    group by means.comparison_id, means.metric

),

final as (

    select
        comparisons.comparison_id,
        comparisons.embedding_space_id_a,
        comparisons.embedding_space_id_b,
        comparisons.space_key_a,
        comparisons.space_key_b,
        comparisons.query_set,
        comparisons.search_method,
        comparisons.asked_policy_json,
        comparisons.filters_json,
        comparisons.top_k,
        means.metric,
        means.mean_a,
        means.mean_b,
        means.mean_difference,
        intervals.ci_lower,
        intervals.ci_upper,
        p_values.p_value,
        cast(means.query_count as integer) as query_count,
        cast(comparisons.common_query_count - means.query_count as integer) as unjudged_query_count,
        cast(means.win_count as integer) as win_count,
        cast(means.loss_count as integer) as loss_count,
        cast(means.query_count - means.win_count - means.loss_count as integer) as tie_count,
        comparisons.searched_from_utc,
        comparisons.searched_to_utc,
        case
            when p_values.p_value < 0.05 and intervals.ci_lower > 0 then 'B better'
            when p_values.p_value < 0.05 and intervals.ci_upper < 0 then 'A better'
            else 'not distinguishable'
        end as verdict
    from comparisons
    inner join means
        on comparisons.comparison_id = means.comparison_id
    inner join intervals
        on
            means.comparison_id = intervals.comparison_id
            and means.metric = intervals.metric
    inner join p_values
        on
            means.comparison_id = p_values.comparison_id
            and means.metric = p_values.metric

)

select * from final
