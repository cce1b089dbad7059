{% macro ledger_engine_columns(ledger) -%}
    {{ return(adapter.dispatch('ledger_engine_columns', 'vector_runtime')(ledger)) }}
{%- endmacro %}

{% macro default__ledger_engine_columns(ledger) -%}
    {{ return([]) }}
{%- endmacro %}

{% macro sqlserver__ledger_engine_columns(ledger) -%}
    {{ return(['row_version rowversion not null'] if ledger.config.get('meta', {}).get('row_version') else []) }}
{%- endmacro %}
