{#- The engine's type for a data_type written in a model's yml. The yml speaks DuckDB's names. -#}
{% macro ledger_type(data_type) -%}
    {{ return(adapter.dispatch('ledger_type')(data_type)) }}
{%- endmacro %}

{% macro default__ledger_type(data_type) -%}
    {{ data_type }}
{%- endmacro %}

{% macro sqlserver__ledger_type(data_type) -%}
    {%- set types = {
        'text': 'nvarchar(max)', 'float[]': 'nvarchar(max)', 'double': 'float', 'boolean': 'bit', 'timestamp': 'datetime2(6)'
    } -%}
    {%- if data_type.startswith('varchar(') -%} n{{ data_type }} {%- else -%} {{ types.get(data_type, data_type) }} {%- endif -%}
{%- endmacro %}
