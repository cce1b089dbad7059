{% macro ledger_default_clause(ledger, column) -%}
    {%- if vector_runtime.ledger_default(column) is not none -%}
        {{ ' ' ~ adapter.dispatch('ledger_default_clause', 'vector_runtime')(ledger, column) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__ledger_default_clause(ledger, column) -%}
    default ({{ vector_runtime.ledger_default(column) }})
{%- endmacro %}

{% macro sqlserver__ledger_default_clause(ledger, column) -%}
    constraint df_{{ ledger.name }}_{{ column.name }} default ({{ vector_runtime.ledger_default(column) }})
{%- endmacro %}

{% macro spark__ledger_default_clause(ledger, column) -%}

{%- endmacro %}
