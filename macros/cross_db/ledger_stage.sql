{% macro ledger_stage(sql) -%}
    {{ return(adapter.dispatch('ledger_stage', 'vector_runtime')(sql)) }}
{%- endmacro %}

{% macro default__ledger_stage(sql) -%}
    {%- set stage = model.name ~ '__changes' -%}
    {%- call statement('stage_ledger') -%}
        create temporary table {{ stage }} as
        {{ sql }}
    {%- endcall -%}
    {{ return(stage) }}
{%- endmacro %}

{% macro sqlserver__ledger_stage(sql) -%}
    {%- set stage = '#' ~ model.name ~ '__changes' -%}
    {%- call statement('stage_ledger') -%}
        select *
        into {{ stage }}
        from (
            {{ sql }}
        ) as change
    {%- endcall -%}
    {{ return(stage) }}
{%- endmacro %}
