{% macro character(code_point) -%}
    {{ return(adapter.dispatch('character', 'vector_runtime')(code_point)) }}
{%- endmacro %}

{% macro default__character(code_point) -%}
    chr({{ code_point }})
{%- endmacro %}

{% macro sqlserver__character(code_point) -%}
    nchar({{ code_point }})
{%- endmacro %}
