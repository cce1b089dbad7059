{% macro ledger_declared_type(data_type) -%}
    {{ return(adapter.dispatch('ledger_declared_type', 'vector_runtime')(data_type)) }}
{%- endmacro %}

{% macro default__ledger_declared_type(data_type) -%}
    {#- DuckDB keeps no length. -#}
    {{ return('varchar' if data_type == 'text' or data_type.startswith('varchar') else data_type) }}
{%- endmacro %}

{% macro sqlserver__ledger_declared_type(data_type) -%}
    {{ return(vector_runtime.ledger_type(data_type).split(' collate')[0] | trim) }}
{%- endmacro %}

{% macro spark__ledger_declared_type(data_type) -%}
    {{ return(vector_runtime.ledger_type(data_type) | trim) }}
{%- endmacro %}
