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

query_counts as (

    select distinct query_count
    from differences

),

-- For each number of questions: as many draws with replacement, in every replicate.
draws as (

    select
        query_counts.query_count,
        resamples.replicate,
        resamples.draw % query_counts.query_count as drawn_position
    from query_counts
    inner join resamples
        on query_counts.query_count > resamples.position

),

bootstrap_means as (

    select
        differences.comparison_id,
        differences.metric,
        draws.replicate,
        avg(differences.difference) as mean_difference
    from differences
    inner join draws
        on
            differences.query_count = draws.query_count
            and differences.position = draws.drawn_position
    group by differences.comparison_id, differences.metric, draws.replicate

),

ranked_means as (

    select
        *,
        row_number() over (partition by comparison_id, metric order by mean_difference) as rank_from_lowest,
        row_number() over (partition by comparison_id, metric order by mean_difference desc) as rank_from_highest
    from bootstrap_means

),

intervals as (

    select
        comparison_id,
        metric,
        min(case when rank_from_lowest = {{ percentile_rank() }} then mean_difference end) as ci_lower,
        min(case when rank_from_highest = {{ percentile_rank() }} then mean_difference end) as ci_upper
    from ranked_means
    group by comparison_id, metric

),

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
