{% macro ledger_stage(sql) -%}
    {{ return(adapter.dispatch('ledger_stage', 'vector_runtime')(sql)) }}
{%- endmacro %}

{% macro default__ledger_stage(sql) -%}
    {%- call statement('stage_ledger') -%}
        create or replace temporary table {{ model.name }}__changes as
        {{ sql }}
    {%- endcall -%}
    {{ return('select * from ' ~ model.name ~ '__changes') }}
{%- endmacro %}

{#- A steady ledger is only read there, without a temporary table. -#}
{% macro sqlserver__ledger_stage(sql) -%}
    {{ return(sql) }}
{%- endmacro %}
