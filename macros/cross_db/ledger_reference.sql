{% macro ledger_reference(relation_text) -%}
    {{ return(adapter.dispatch('ledger_reference', 'vector_runtime')(relation_text)) }}
{%- endmacro %}

{% macro default__ledger_reference(relation_text) -%}
    {{ relation_text }}
{%- endmacro %}

{% macro sqlserver__ledger_reference(relation_text) -%}
    {{ relation_text.split('.')[-2:] | join('.') }}
{%- endmacro %}
