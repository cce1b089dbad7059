{{ config(enabled=var('alarm_min_coverage') is not none) }}

-- Active spaces that have vectors of less than the share `alarm_min_coverage` of the current chunks; quarantined texts
-- are among what is missing.
{% set found %}
    select concat(
        space_key, ': ', sum(current_count), ' of ', sum(chunk_count), ' current chunks have a vector, ',
        sum(quarantined_count), ' are quarantined'
    ) as finding
    from {{ ref('vector_runtime', 'space_coverage') }}
    where {{ is_true('is_active') }}
    group by space_key
    having sum(current_count) < {{ var('alarm_min_coverage') | float }} * sum(chunk_count)
{% endset %}
{{ log_findings(found) }}
{{ found }}
