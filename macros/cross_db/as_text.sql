{#-
    A text as the vector runtime keeps it, whatever type and collation it has in its source. Every text column that a
    staging model gives on goes through it.
-#}
{% macro as_text(expression) -%}
    {{ return(adapter.dispatch('as_text')(expression)) }}
{%- endmacro %}

{% macro default__as_text(expression) -%}
    cast({{ expression }} as varchar)
{%- endmacro %}

{% macro sqlserver__as_text(expression) -%}
    cast({{ expression }} as nvarchar(max)) collate Latin1_General_100_BIN2
{%- endmacro %}
