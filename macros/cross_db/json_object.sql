{#- The JSON object or array at a JSON path, as text; null where there is none. -#}
{% macro json_object(column, path) -%}
    {{ return(adapter.dispatch('json_object')(column, path)) }}
{%- endmacro %}

{% macro default__json_object(column, path) -%}
    try(cast(json_extract({{ column }}, '{{ path }}') as varchar))
{%- endmacro %}

{% macro sqlserver__json_object(column, path) -%}
    json_query(case when isjson({{ column }}) = 1 then {{ column }} end, '{{ path }}')
{%- endmacro %}
