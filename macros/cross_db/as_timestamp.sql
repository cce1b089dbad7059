{#-
    A time as the ledgers keep it, to the microsecond, whatever type it has in its source: else a row read again would
    differ from the row that was written.
-#}
{% macro as_timestamp(expression) -%}
    {{ return(adapter.dispatch('as_timestamp')(expression)) }}
{%- endmacro %}

{% macro default__as_timestamp(expression) -%}
    cast({{ expression }} as timestamp)
{%- endmacro %}

{% macro sqlserver__as_timestamp(expression) -%}
    cast({{ expression }} as datetime2(6))
{%- endmacro %}
