{{ config(severity='warn') }}

-- Document models without a row: more likely a source that was empty for a moment than a wish. What they had is
-- retired, and comes back, unpaid for, when they do.
{% set empty_models %}
    {%- for model in document_models() %}
    select '{{ model.identifier }} has no row' as finding
    where not exists (select 1 from {{ model }})
    {{ 'union all' if not loop.last }}
    {%- else %}
    select 'none' as finding
    where 1 = 0
    {%- endfor %}
{% endset %}
{{ log_findings(empty_models) }}
{{ empty_models }}
