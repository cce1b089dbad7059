{% macro ledger_declared_version(ledger) -%}
    {{ return(ledger.config.get('meta', {}).get('ledger_version', 1) | int) }}
{%- endmacro %}
