{#-
    A text as the vector runtime keeps it, whatever type and collation it has in its source. Every text column that a
    staging model gives on goes through it; a key says its longest length, which SQL Server joins faster. What is longer
    stays longer, by a character at least, and the ledger refuses it.
-#}
{% macro as_text(expression, max_length=none) -%}
    {{ return(adapter.dispatch('as_text')(expression, max_length)) }}
{%- endmacro %}

{% macro default__as_text(expression, max_length=none) -%}
    cast({{ expression }} as varchar)
{%- endmacro %}

{% macro sqlserver__as_text(expression, max_length=none) -%}
    cast({{ expression }} as nvarchar({{ max_length + 1 if max_length else 'max' }})) collate Latin1_General_100_BIN2
{%- endmacro %}
