{% macro ledger_update_sql(relation, sql, unique_key) -%}
    {{ return(adapter.dispatch('ledger_update_sql', 'vector_runtime')(relation, sql, unique_key)) }}
{%- endmacro %}

{% macro default__ledger_update_sql(relation, sql, unique_key) -%}
    update {{ relation }} as ledger
    set {{ vector_runtime.ledger_set_clause(unique_key) }}
    from (
        {{ sql }}
    ) as change
    where {{ vector_runtime.ledger_key_match('ledger', 'change', unique_key) }}
{%- endmacro %}

{% macro sqlserver__ledger_update_sql(relation, sql, unique_key) -%}
    update ledger
    set {{ vector_runtime.ledger_set_clause(unique_key) }}
    from {{ relation }} as ledger
    inner join (
        {{ sql }}
    ) as change
        on {{ vector_runtime.ledger_key_match('ledger', 'change', unique_key) }}
{%- endmacro %}
