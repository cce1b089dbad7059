{% macro utf16_unit_count(text) -%}
    {{ return(adapter.dispatch('utf16_unit_count', 'vector_runtime')(text)) }}
{%- endmacro %}

{% macro default__utf16_unit_count(text) -%}
    (length({{ text }}) + length(regexp_replace({{ text }}, '[\x{0}-\x{FFFF}]', '', 'g')))
{%- endmacro %}

{% macro sqlserver__utf16_unit_count(text) -%}
    (datalength(cast({{ text }} as nvarchar(max))) / 2)
{%- endmacro %}

{% macro spark__utf16_unit_count(text) -%}
    (length({{ text }}) + length(regexp_replace({{ text }}, '[\\x{0}-\\x{FFFF}]', '')))
{%- endmacro %}
