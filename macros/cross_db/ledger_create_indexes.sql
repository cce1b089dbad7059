{% macro ledger_create_indexes(relation, ledger) -%}
    {{ return(adapter.dispatch('ledger_create_indexes', 'vector_runtime')(relation, ledger)) }}
{%- endmacro %}

{% macro default__ledger_create_indexes(relation, ledger) -%}
{%- endmacro %}

{% macro sqlserver__ledger_create_indexes(relation, ledger) -%}
    {%- set clustered = ledger.config.get('meta', {}).get('clustered_index') -%}
    {%- if clustered -%}
        {% do run_query(vector_runtime.ledger_create_index_sql(relation, clustered, 'clustered')) %}
    {%- endif -%}
    {%- for index in ledger.config.get('indexes', []) -%}
        {% do run_query(vector_runtime.ledger_create_index_sql(relation, index.columns, 'nonclustered')) %}
    {%- endfor -%}
{%- endmacro %}
