{% macro ledger_stage_sql(name, sql) -%}
    {{ return(adapter.dispatch('ledger_stage_sql', 'vector_runtime')(name, sql)) }}
{%- endmacro %}

{% macro default__ledger_stage_sql(name, sql) -%}
    create temporary table {{ name }} as
    {{ sql }}
{%- endmacro %}

{% macro sqlserver__ledger_stage_sql(name, sql) -%}
    select *
    into {{ name }}
    from (
        {{ sql }}
    ) as change
{%- endmacro %}
