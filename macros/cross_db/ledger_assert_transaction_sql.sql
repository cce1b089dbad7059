{% macro ledger_assert_transaction_sql() -%}
    {{ return(adapter.dispatch('ledger_assert_transaction_sql', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__ledger_assert_transaction_sql() -%}
    select 1 as begun
{%- endmacro %}

{% macro sqlserver__ledger_assert_transaction_sql() -%}
    if @@trancount = 0
        throw 50002, N'the flag dbt_sqlserver_use_dbt_transactions is off: without it a ledger cannot be rebuilt', 1;
{%- endmacro %}
