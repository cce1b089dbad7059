{% macro ledger_primary_key_kind(ledger) -%}
    {{ return(adapter.dispatch('ledger_primary_key_kind', 'vector_runtime')(ledger)) }}
{%- endmacro %}

{% macro default__ledger_primary_key_kind(ledger) -%}
{%- endmacro %}

{% macro sqlserver__ledger_primary_key_kind(ledger) -%}
    {{- 'nonclustered ' if ledger.config.get('meta', {}).get('clustered_index') else 'clustered ' -}}
{%- endmacro %}
