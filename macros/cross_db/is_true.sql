{% macro is_true(column) -%}
    {{ return(adapter.dispatch('is_true', 'vector_runtime')(column)) }}
{%- endmacro %}

{% macro default__is_true(column) -%}
    {{ column }}
{%- endmacro %}

{% macro sqlserver__is_true(column) -%}
    {{ column }} = 1
{%- endmacro %}
