{#-
    CTEs, the last of them `intervals`: the 95% percentile bootstrap interval of a mean (Efron and Tibshirani 1993,
    chapter 13), ci_lower and ci_upper, one row a key and metric. They read the CTE `resamples`, which is eval_resample.

    Args:
      scores  CTE with a row a key, metric and question: the columns key, metric, value, and, of each key and metric,
              query_count and position (0 to query_count - 1)
      key     column of what has a mean
      value   column whose mean it is
-#}
{% macro bootstrap_intervals(scores, key, value) -%}
query_counts as (

    select distinct query_count
    from {{ scores }}

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

replicate_means as (

    select
        {{ scores }}.{{ key }},
        {{ scores }}.metric,
        draws.replicate,
        avg({{ scores }}.{{ value }}) as mean_value
    from {{ scores }}
    inner join draws
        on
            {{ scores }}.query_count = draws.query_count
            and {{ scores }}.position = draws.drawn_position
    group by {{ scores }}.{{ key }}, {{ scores }}.metric, draws.replicate

),

ranked_means as (

    select
        *,
        row_number() over (partition by {{ key }}, metric order by mean_value) as rank_from_lowest,
        row_number() over (partition by {{ key }}, metric order by mean_value desc) as rank_from_highest
    from replicate_means

),

intervals as (

    select
        {{ key }},
        metric,
        min(case when rank_from_lowest = {{ percentile_rank() }} then mean_value end) as ci_lower,
        min(case when rank_from_highest = {{ percentile_rank() }} then mean_value end) as ci_upper
    from ranked_means
    group by {{ key }}, metric

)
{%- endmacro %}
