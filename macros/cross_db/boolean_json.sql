{% macro boolean_json(column) -%}
    {{ return(adapter.dispatch('boolean_json', 'vector_runtime')(column)) }}
{%- endmacro %}

{% macro default__boolean_json(column) -%}
    case when {{ column }} then 'true' else 'false' end
{%- endmacro %}

{% macro sqlserver__boolean_json(column) -%}
    case when {{ column }} = 1 then 'true' else 'false' end
{%- endmacro %}
