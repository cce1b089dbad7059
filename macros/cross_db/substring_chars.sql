{% macro substring_chars(text, start_offset, char_length) -%}
    {{ return(adapter.dispatch('substring_chars', 'vector_runtime')(text, start_offset, char_length)) }}
{%- endmacro %}

{% macro default__substring_chars(text, start_offset, char_length) -%}
    substring({{ text }}, cast({{ start_offset }} + 1 as bigint), cast({{ char_length }} as bigint))
{%- endmacro %}

{% macro sqlserver__substring_chars(text, start_offset, char_length) -%}
    {#- Cut under a supplementary-character collation, given on in the collation of all our text. -#}
    substring({{ text }} collate Latin1_General_100_CI_AS_SC, {{ start_offset }} + 1, {{ char_length }})
        collate Latin1_General_100_BIN2
{%- endmacro %}

{% macro spark__substring_chars(text, start_offset, char_length) -%}
    substring({{ text }}, cast({{ start_offset }} + 1 as int), cast({{ char_length }} as int))
{%- endmacro %}
