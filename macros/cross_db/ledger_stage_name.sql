{% macro ledger_stage_name(ledger) -%}
    {{ return(adapter.dispatch('ledger_stage_name', 'vector_runtime')(ledger)) }}
{%- endmacro %}

{% macro default__ledger_stage_name(ledger) -%}
    {{ return(ledger ~ '__changes') }}
{%- endmacro %}

{% macro sqlserver__ledger_stage_name(ledger) -%}
    {{ return('#' ~ ledger ~ '__changes') }}
{%- endmacro %}
