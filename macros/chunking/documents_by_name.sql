{% macro documents_by_name(models) -%}
    {%- set texts = ['source_id', 'source_type', 'source_ref_json', 'title', 'content', 'tags_json'] -%}
    {#- Where models are built: a compile may have no database. -#}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- if not models -%}
            {% do exceptions.raise_compiler_error(
                'No document model: name models of yours in `vars: vector_runtime: documents` of dbt_project.yml.') %}
        {%- endif -%}
        {%- for model in models -%} {%- do vector_runtime.assert_document(model, texts) -%} {%- endfor -%}
    {%- endif -%}
    {%- for model in models %}
    select
        {%- for column in texts %}
        {{ vector_runtime.as_text(column) }} as {{ column }},
        {%- endfor %}
        {{ vector_runtime.as_timestamp('updated_utc') }} as updated_utc,
        {#- By way of UTC: the text of a zoned time goes by the session's zone. #}
        case
            when {{ vector_runtime.as_timestamp('updated_utc') }} is null
                then coalesce({{ vector_runtime.as_text(vector_runtime.utc_time('updated_utc')) }}, {{ vector_runtime.as_text('updated_utc') }})
        end as unfit_updated_utc,
        {{ vector_runtime.as_text("'" ~ model.identifier | replace("'", "''") ~ "'") }} as document_model
    from {{ model }}
    {{ 'union all' if not loop.last }}
    {%- else %}
    select
        {%- for column in texts + ['unfit_updated_utc', 'document_model'] %}
        {{ vector_runtime.as_text('null') }} as {{ column }},
        {%- endfor %}
        {{ vector_runtime.as_timestamp('null') }} as updated_utc
    where 1 = 0
    {%- endfor %}
{%- endmacro %}
