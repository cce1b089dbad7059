{{ config(severity='warn') }}

-- Document models without a row: more likely a source that was empty for a moment than a wish. What they had is
-- retired, and comes back, unpaid for, when they do. dbt shows no rows of a test, so the log names them.
{% set empty_models %}
    {%- for model in document_models() %}
    select '{{ model.identifier }}' as document_model
    from (select 1 as one) as nothing
    where not exists (select 1 from {{ model }})
    {{ 'union all' if not loop.last }}
    {%- else %}
    select 'none' as document_model
    from (select 1 as one) as nothing
    where 1 = 0
    {%- endfor %}
{% endset %}
{% if execute and flags.WHICH in ('build', 'test') %}
    {% for row in run_query(empty_models) %}
        {% do log("document_model_has_rows: " ~ row[0] ~ " has no row", info=true) %}
    {% endfor %}
{% endif %}
{{ empty_models }}
