{% macro ledger_create_sql(relation, ledger) -%}
    {{ return(adapter.dispatch('ledger_create_sql', 'vector_runtime')(relation, ledger)) }}
{%- endmacro %}

{% macro default__ledger_create_sql(relation, ledger) -%}
    create table if not exists {{ relation }} (
        {{ vector_runtime.ledger_definition(ledger) }}
    )
{%- endmacro %}

{% macro sqlserver__ledger_create_sql(relation, ledger) -%}
    if object_id(N'{{ relation.include(database=false) }}', N'U') is null
    begin
        create table {{ relation.include(database=false) }} (
            {{ vector_runtime.ledger_definition(ledger) }}
        )
    end
{%- endmacro %}

{% macro spark__ledger_create_sql(relation, ledger) -%}
    create table if not exists {{ relation }} (
        {%- for column in ledger.columns.values() %}
        {{ column.name }} {{ vector_runtime.ledger_type(column.data_type) }}{{ '' if vector_runtime.ledger_is_nullable(column) else ' not null' }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    )
    using iceberg
    {%- set columns = ledger.config.get('meta', {}).get('partition_by') %}
    {%- if columns %}
    partitioned by ({{ columns | join(', ') }})
    {%- endif %}
{%- endmacro %}
