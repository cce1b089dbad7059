{% macro as_double(expression) -%}
    {{ return(adapter.dispatch('as_double', 'vector_runtime')(expression)) }}
{%- endmacro %}

{% macro default__as_double(expression) -%}
    cast({{ expression }} as double precision)
{%- endmacro %}

{% macro spark__as_double(expression) -%}
    cast({{ expression }} as double)
{%- endmacro %}
