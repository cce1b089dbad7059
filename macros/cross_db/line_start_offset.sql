{% macro line_start_offset(text) -%}
    {{ return(adapter.dispatch('line_start_offset', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__line_start_offset(text) -%}
    strpos({{ text }}, nullif(regexp_extract({{ text }}, '\n[^\n]'), ''))
{%- endmacro %}

{% macro sqlserver__line_start_offset(text) -%}
    {#- PATINDEX gives null for no match of ours, and else counts UTF-16 units up to the line feed. -#}
    {{ vector_runtime.char_count(
        'left(' ~ text ~ ' collate Latin1_General_100_BIN2, nullif(patindex(concat(N\'%\', nchar(10), N\'[^\', nchar(10), N\']%\'), '
        ~ text ~ ' collate Latin1_General_100_BIN2), 0))') }}
{%- endmacro %}

{% macro spark__line_start_offset(text) -%}
    instr({{ text }}, nullif(regexp_extract({{ text }}, '\n[^\n]', 0), ''))
{%- endmacro %}
