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

{% macro spark__ledger_stage(sql) -%}
    {#- Kept on the workers' disks for this session: worked out once, with ids that a MERGE may not make up itself. -#}
    {%- call statement('stage_ledger') -%}
        cache table {{ model.name }}__changes options ('storageLevel' = 'DISK_ONLY') as
        {{ sql }}
    {%- endcall -%}
    {% do vector_runtime.ledger_assert_columns('select * from ' ~ model.name ~ '__changes') %}
    {{ return('select * from ' ~ model.name ~ '__changes') }}
{%- endmacro %}
