{% macro ledger_create_sql(relation) -%}
    {{ return(adapter.dispatch('ledger_create_sql', 'vector_runtime')(relation)) }}
{%- endmacro %}

{% macro default__ledger_create_sql(relation) -%}
    create table if not exists {{ relation }} (
        {{ vector_runtime.ledger_definition(relation) }}
    )
{%- endmacro %}

{% macro sqlserver__ledger_create_sql(relation) -%}
    if object_id(N'{{ relation.include(database=false) }}', N'U') is null
    begin
        create table {{ relation.include(database=false) }} (
            {{ vector_runtime.ledger_definition(relation) }}
        )
    end
{%- endmacro %}
