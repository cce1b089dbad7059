{% macro ledger_add_column_sql(relation, column) -%}
    {{ return(adapter.dispatch('ledger_add_column_sql', 'vector_runtime')(relation, column)) }}
{%- endmacro %}

{% macro default__ledger_add_column_sql(relation, column) -%}
    alter table {{ relation }} add column if not exists {{ column.name }} {{ vector_runtime.ledger_type(column.data_type) }}
{%- endmacro %}

{% macro sqlserver__ledger_add_column_sql(relation, column) -%}
    if col_length(N'{{ relation.include(database=false) }}', N'{{ column.name }}') is null
    alter table {{ relation.include(database=false) }} add {{ vector_runtime.ledger_column_definition(column) }}
{%- endmacro %}

{% macro spark__ledger_add_column_sql(relation, column) -%}
    alter table {{ relation }} add columns ({{ column.name }} {{ vector_runtime.ledger_type(column.data_type) }})
{%- endmacro %}
