{% macro ledger_lock(relation) -%}
    {{ return(adapter.dispatch('ledger_lock', 'vector_runtime')(relation)) }}
{%- endmacro %}

{% macro default__ledger_lock(relation) -%}
{%- endmacro %}

{% macro sqlserver__ledger_lock(relation) -%}
    {#- By `statement`, which begins the transaction that owns the lock; run_query would not. -#}
    {%- call statement('ledger_lock') -%}
        declare @got int;
        exec @got = sp_getapplock
            @Resource = N'vector_ledger.{{ relation.schema }}.{{ relation.identifier }}',
            @LockMode = 'Exclusive', @LockOwner = 'Transaction', @LockTimeout = 600000;
        if @got < 0
            throw 50001, N'another build has held the ledger {{ relation.identifier }} for ten minutes', 1;
    {%- endcall -%}
{%- endmacro %}
