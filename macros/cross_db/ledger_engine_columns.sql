{% macro ledger_engine_columns() -%}
    {{ return(adapter.dispatch('ledger_engine_columns', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__ledger_engine_columns() -%}
    {{ return([]) }}
{%- endmacro %}

{% macro sqlserver__ledger_engine_columns() -%}
    {{ return(['row_version rowversion not null'] if config.get('meta', {}).get('row_version') else []) }}
{%- endmacro %}
