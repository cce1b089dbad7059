{% macro ledger_set_default_sql(relation, ledger, column, shape={}) -%}
    {{ return(adapter.dispatch('ledger_set_default_sql', 'vector_runtime')(relation, ledger, column, shape)) }}
{%- endmacro %}

{% macro default__ledger_set_default_sql(relation, ledger, column, shape) -%}
    alter table {{ relation }} alter column {{ column.name }} set{{ vector_runtime.ledger_default_clause(ledger, column) }}
{%- endmacro %}

{% macro sqlserver__ledger_set_default_sql(relation, ledger, column, shape) -%}
    {%- set built = shape.get('defaults', {}).get(column.name) -%}
    {%- set table = relation.include(database=false) -%}
    {%- if built %}
    alter table {{ table }} drop constraint {{ adapter.quote(built.name) }};
    {%- endif %}
    alter table {{ table }} add{{ vector_runtime.ledger_default_clause(ledger, column) }} for {{ column.name }}
{%- endmacro %}

{% macro spark__ledger_set_default_sql(relation, ledger, column, shape) -%}
    {#- An Iceberg table has no defaults: who writes says every value. -#}
    select 1 as unchanged
{%- endmacro %}
