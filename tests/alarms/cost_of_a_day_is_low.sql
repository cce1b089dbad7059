{{ config(enabled=var('alarm_max_cost_per_day') is not none) }}

-- All that the runs of the last 24 hours cost, in the currency of the prices, where it is more than
-- `alarm_max_cost_per_day`. Spaces without a price cost nothing.
{% set found %}
    select concat('the runs of the last 24 hours cost ', cast(sum(runs.cost) as decimal(18, 4))) as finding
    from (
        select {{ as_double(json_text('metrics_json', '$.cost')) }} as cost
        from {{ ref('vector_runtime', 'run_history') }}
        where {{ seconds_between('started_utc', current_utc()) }} < 86400
    ) as runs
    having sum(runs.cost) > {{ var('alarm_max_cost_per_day') | float }}
{% endset %}
{{ log_findings(found) }}
{{ found }}
