{#- The integer that eight hex digits write, 0 to 2^32 - 1. -#}
{% macro hex_integer(digits) -%}
    {{ return(adapter.dispatch('hex_integer')(digits)) }}
{%- endmacro %}

{% macro default__hex_integer(digits) -%}
    cast(concat('0x', {{ digits }}) as bigint)
{%- endmacro %}

{% macro sqlserver__hex_integer(digits) -%}
    cast(convert(varbinary(4), {{ digits }}, 2) as bigint)
{%- endmacro %}
