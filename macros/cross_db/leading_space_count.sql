{% macro leading_space_count(text) -%}
    {{ return(adapter.dispatch('leading_space_count', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__leading_space_count(text) -%}
    {%- set spaces = vector_runtime.character_class(vector_runtime.space_ranges()) -%}
    length(regexp_extract({{ text }}, '^[{{ spaces }}]*'))
{%- endmacro %}

{% macro sqlserver__leading_space_count(text) -%}
    {#- All of them are of one UTF-16 unit. -#}
    {%- set spaces = vector_runtime.character_class(vector_runtime.space_ranges()) -%}
    coalesce(
        nullif(patindex(concat(N'%[^', {{ spaces }}, N']%'), {{ text }} collate Latin1_General_100_BIN2), 0) - 1,
        {{ vector_runtime.char_count(text) }}
    )
{%- endmacro %}

{% macro spark__leading_space_count(text) -%}
    {%- set spaces = vector_runtime.character_class(vector_runtime.space_ranges()) -%}
    length(regexp_extract({{ text }}, '^[{{ spaces }}]*', 0))
{%- endmacro %}
