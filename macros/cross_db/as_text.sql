{#-
    A text as the vector runtime keeps it, whatever type and collation it has in its source. Every text column that a
    staging model gives on goes through it; a key says its longest length, which SQL Server joins faster.
-#}
{% macro as_text(expression, max_length=none) -%}
    {{ return(adapter.dispatch('as_text')(expression, max_length)) }}
{%- endmacro %}

{% macro default__as_text(expression, max_length=none) -%}
    cast({{ expression }} as varchar)
{%- endmacro %}

{% macro sqlserver__as_text(expression, max_length=none) -%}
    cast({{ expression }} as nvarchar({{ max_length or 'max' }})) collate Latin1_General_100_BIN2
{%- endmacro %}
