{% macro as_text(expression, max_length=none) -%}
    {{ return(adapter.dispatch('as_text', 'vector_runtime')(expression, max_length)) }}
{%- endmacro %}

{% macro default__as_text(expression, max_length=none) -%}
    cast({{ expression }} as varchar)
{%- endmacro %}

{% macro sqlserver__as_text(expression, max_length=none) -%}
    cast({{ expression }} as nvarchar({{ max_length + 1 if max_length and max_length < 4000 else 'max' }})) collate Latin1_General_100_BIN2
{%- endmacro %}

{% macro spark__as_text(expression, max_length=none) -%}
    cast({{ expression }} as string)
{%- endmacro %}
