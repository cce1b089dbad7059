{% macro ledger_compression(column) -%}
    {{ return(adapter.dispatch('ledger_compression', 'vector_runtime')(column)) }}
{%- endmacro %}

{% macro default__ledger_compression(column) -%}
    {%- set compression = column.get('config', {}).get('meta', {}).get('compression') -%}
    {{ return(' using compression ' ~ compression if compression else '') }}
{%- endmacro %}

{% macro sqlserver__ledger_compression(column) -%}
    {{ return('') }}
{%- endmacro %}

{% macro spark__ledger_compression(column) -%}
    {{ return('') }}
{%- endmacro %}
