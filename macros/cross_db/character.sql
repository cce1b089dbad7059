{% macro character(code_point) -%}
    {{ return(adapter.dispatch('character', 'vector_runtime')(code_point)) }}
{%- endmacro %}

{% macro default__character(code_point) -%}
    chr({{ code_point }})
{%- endmacro %}

{% macro sqlserver__character(code_point) -%}
    nchar({{ code_point }})
{%- endmacro %}

{% macro spark__character(code_point) -%}
    {#- CHR of Spark goes by the last eight bits. -#}
    '\u{{ vector_runtime.hex_digits(code_point) }}'
{%- endmacro %}
