{% macro ledger_assert_contract(sql) -%}
    {{ return(adapter.dispatch('ledger_assert_contract', 'vector_runtime')(sql)) }}
{%- endmacro %}

{% macro default__ledger_assert_contract(sql) -%}
    {% do get_assert_columns_equivalent(sql) %}
{%- endmacro %}

{% macro sqlserver__ledger_assert_contract(sql) -%}
    {% do vector_runtime.ledger_assert_columns(sql) %}
{%- endmacro %}

{#- To plan a ledger's SQL takes a minute there: ledger_stage checks what it has staged. -#}
{% macro spark__ledger_assert_contract(sql) -%}
    {%- if flags.EMPTY or flags.SAMPLE -%}
        {% do vector_runtime.ledger_assert_columns(sql) %}
    {%- endif -%}
{%- endmacro %}
