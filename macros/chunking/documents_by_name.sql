{% macro documents_by_name(models) -%}
    {%- set texts = ['source_id', 'source_type', 'source_ref_json', 'title', 'content', 'tags_json'] -%}
    {%- set wanted = texts + ['updated_utc'] -%}
    {#- Where models are built: a compile may have no database. -#}
    {%- for model in models if execute and flags.WHICH in ('build', 'run') -%}
        {%- set found = adapter.get_columns_in_relation(model) | map(attribute='name') | map('lower') | list -%}
        {%- set missing = wanted | reject('in', found) | join(', ') -%}
        {%- set unknown = found | reject('in', wanted) | join(', ') -%}
        {#- A view that is not built yet has no columns: the database will say so. -#}
        {%- if found and (missing or unknown) -%}
            {% do exceptions.raise_compiler_error(
                'Document model ' ~ model.identifier ~ (' lacks ' ~ missing if missing)
                ~ (' and' if missing and unknown) ~ (' has ' ~ unknown if unknown)
                ~ '; a document has the columns ' ~ wanted | join(', ') ~ '.') %}
        {%- endif -%}
    {%- endfor -%}
    {%- for model in models %}
    select
        {%- for column in texts %}
        {{ as_text(column) }} as {{ column }},
        {%- endfor %}
        {{ as_timestamp('updated_utc') }} as updated_utc,
        {#- By way of UTC: the text of a zoned time goes by the session's zone. #}
        case
            when {{ as_timestamp('updated_utc') }} is null
                then coalesce({{ as_text(utc_time('updated_utc')) }}, {{ as_text('updated_utc') }})
        end as unfit_updated_utc
    from {{ model }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
