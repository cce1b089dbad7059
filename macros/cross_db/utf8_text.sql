{% macro utf8_text(text) -%}
    {{ return(adapter.dispatch('utf8_text', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__utf8_text(text) -%}
    {{ text }}
{%- endmacro %}

{% macro sqlserver__utf8_text(text) -%}
    cast({{ text }} collate Latin1_General_100_CI_AS_SC_UTF8 as varchar(max))
{%- endmacro %}
