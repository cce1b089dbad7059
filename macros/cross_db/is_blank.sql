{% macro is_blank(text) -%}
    {{ return(adapter.dispatch('is_blank', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__is_blank(text) -%}
    not regexp_matches({{ text }}, '[^{{ vector_runtime.blank_class() }}]')
{%- endmacro %}

{% macro sqlserver__is_blank(text) -%}
    {{ text }} collate Latin1_General_100_BIN2 not like concat(N'%[^', {{ vector_runtime.blank_class() }}, N']%')
{%- endmacro %}

{% macro spark__is_blank(text) -%}
    not {{ text }} rlike '[^{{ vector_runtime.blank_class() }}]'
{%- endmacro %}
