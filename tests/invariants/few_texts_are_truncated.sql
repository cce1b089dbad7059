{{ config(severity='warn') }}

-- Spaces in which the model saw less than the whole text of more chunks than `max_truncated_share` allows: their ends
-- cannot be found. A smaller chunk size, or a model with a longer context, helps. dbt shows no rows of a test, so the
-- log names them.
{% set spaces_with_truncated_texts %}
    select
        space_key,
        sum(truncated_count) as truncated_count,
        sum(current_count) as current_count,
        cast(100.0 * sum(truncated_count) / sum(current_count) as decimal(5, 1)) as truncated_percent
    from {{ ref('vector_runtime', 'space_coverage') }}
    where {{ is_true('is_active') }}
    group by space_key
    having sum(truncated_count) > {{ var('max_truncated_share') }} * sum(current_count)
{% endset %}
{% if execute and flags.WHICH in ('build', 'test') %}
    {% for row in run_query(spaces_with_truncated_texts) %}
        {% do log("few_texts_are_truncated: of space " ~ row[0] ~ ", the model saw less than the whole text of "
            ~ row[3] ~ " percent of the chunks (" ~ row[1] ~ " of " ~ row[2] ~ ")", info=true) %}
    {% endfor %}
{% endif %}
{{ spaces_with_truncated_texts }}
