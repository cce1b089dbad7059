{{ config(enabled=var('alarm_max_pending') is not none) }}

-- Active spaces that lack vectors of more than `alarm_max_pending` current chunks, quarantined ones not counted: more
-- texts come in than are embedded, or a limit of embed is too low.
{% set found %}
    select concat(space_key, ': ', sum(pending_count), ' chunks wait for a vector') as finding
    from {{ ref('vector_runtime', 'space_coverage') }}
    where {{ is_true('is_active') }}
    group by space_key
    having sum(pending_count) > {{ var('alarm_max_pending') | float }}
{% endset %}
{{ log_findings(found) }}
{{ found }}
