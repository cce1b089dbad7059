{% macro trim_characters(text, characters) -%}
    {{ return(adapter.dispatch('trim_characters', 'vector_runtime')(text, characters)) }}
{%- endmacro %}

{% macro default__trim_characters(text, characters) -%}
    trim({{ text }}, '{{ characters }}')
{%- endmacro %}

{% macro sqlserver__trim_characters(text, characters) -%}
    trim(N'{{ characters }}' from {{ text }} collate Latin1_General_100_BIN2)
{%- endmacro %}

{% macro spark__trim_characters(text, characters) -%}
    trim(both '{{ characters }}' from {{ text }})
{%- endmacro %}
