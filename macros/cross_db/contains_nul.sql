{% macro contains_nul(text) -%}
    {{ return(adapter.dispatch('contains_nul', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__contains_nul(text) -%}
    contains({{ text }}, chr(0))
{%- endmacro %}

{% macro sqlserver__contains_nul(text) -%}
    charindex(nchar(0), {{ text }} collate Latin1_General_100_BIN2) > 0
{%- endmacro %}
