{#- The text at a JSON path; null where it is missing or the column holds no valid JSON. -#}
{% macro json_text(column, path) -%}
    {{ return(adapter.dispatch('json_text')(column, path)) }}
{%- endmacro %}

{% macro default__json_text(column, path) -%}
    try(json_extract_string({{ column }}, '{{ path }}'))
{%- endmacro %}

{% macro sqlserver__json_text(column, path) -%}
    (
        select json_row.json_value collate Latin1_General_100_BIN2
        from openjson(case when isjson({{ column }}) = 1 then {{ column }} end)
        with (json_value nvarchar(max) '{{ path }}') as json_row
    )
{%- endmacro %}
