{% macro ledger_primary_key_kind() -%}
    {{ return(adapter.dispatch('ledger_primary_key_kind', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__ledger_primary_key_kind() -%}
{%- endmacro %}

{% macro sqlserver__ledger_primary_key_kind() -%}
    {{- 'nonclustered ' if config.get('meta', {}).get('clustered_index') else 'clustered ' -}}
{%- endmacro %}
