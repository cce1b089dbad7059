{% macro built_type(column) -%}
    {{ return(adapter.dispatch('built_type', 'vector_runtime')(column) | lower) }}
{%- endmacro %}

{% macro default__built_type(column) -%}
    {#- Not data_type: what dbt says there of the length of a text is made up. -#}
    {{ return(column.dtype) }}
{%- endmacro %}

{% macro sqlserver__built_type(column) -%}
    {{ return(column.data_type) }}
{%- endmacro %}
