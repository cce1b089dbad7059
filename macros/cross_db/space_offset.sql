{% macro space_offset(text) -%}
    {{ return(adapter.dispatch('space_offset', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__space_offset(text) -%}
    {%- set spaces = vector_runtime.character_class(vector_runtime.space_ranges()) -%}
    (strpos({{ text }}, nullif(regexp_extract({{ text }}, '[{{ spaces }}]'), '')) - 1)
{%- endmacro %}

{% macro sqlserver__space_offset(text) -%}
    {%- set spaces = vector_runtime.character_class(vector_runtime.space_ranges()) -%}
    {{ vector_runtime.char_count(
        'left(' ~ text ~ ' collate Latin1_General_100_BIN2, nullif(patindex(concat(N\'%[\', ' ~ spaces ~ ', N\']%\'), '
        ~ text ~ ' collate Latin1_General_100_BIN2), 0) - 1)') }}
{%- endmacro %}

{% macro spark__space_offset(text) -%}
    {%- set spaces = vector_runtime.character_class(vector_runtime.space_ranges()) -%}
    (instr({{ text }}, nullif(regexp_extract({{ text }}, '[{{ spaces }}]', 0), '')) - 1)
{%- endmacro %}
