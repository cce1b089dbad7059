{#- Length of a text in Unicode code points, trailing blanks included. -#}
{% macro char_count(text) -%}
    {{ return(adapter.dispatch('char_count')(text)) }}
{%- endmacro %}

{% macro default__char_count(text) -%}
    length({{ text }})
{%- endmacro %}

{% macro sqlserver__char_count(text) -%}
    {#- LEN drops trailing blanks, so a sentinel is appended; only a supplementary-character collation counts code points. -#}
    (len(concat({{ text }}, N'.') collate Latin1_General_100_CI_AS_SC) - 1)
{%- endmacro %}
