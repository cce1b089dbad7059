{% macro ledger_create_indexes(relation, indexes) -%}
    {{ return(adapter.dispatch('ledger_create_indexes', 'vector_runtime')(relation, indexes)) }}
{%- endmacro %}

{% macro default__ledger_create_indexes(relation, indexes) -%}
{%- endmacro %}

{% macro sqlserver__ledger_create_indexes(relation, indexes) -%}
    {%- set clustered = config.get('meta', {}).get('clustered_index') -%}
    {%- if clustered -%}
        {% do run_query(vector_runtime.ledger_create_index_sql(relation, clustered, 'clustered')) %}
    {%- endif -%}
    {%- for index in indexes -%}
        {% do run_query(vector_runtime.ledger_create_index_sql(relation, index.columns, 'nonclustered')) %}
    {%- endfor -%}
{%- endmacro %}
