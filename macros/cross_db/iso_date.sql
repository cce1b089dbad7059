{% macro iso_date(column) -%}
    {{ return(adapter.dispatch('iso_date', 'vector_runtime')(column)) }}
{%- endmacro %}

{% macro default__iso_date(column) -%}
    strftime(cast({{ vector_runtime.utc_time(column) }} as date), '%Y-%m-%d')
{%- endmacro %}

{% macro sqlserver__iso_date(column) -%}
    convert(nchar(10), cast({{ vector_runtime.utc_time(column) }} as date), 23) collate Latin1_General_100_BIN2
{%- endmacro %}

{% macro spark__iso_date(column) -%}
    cast(cast({{ vector_runtime.utc_time(column) }} as date) as string)
{%- endmacro %}
