{% macro ledger_columns(ledger, conversion) -%}
    {{ return(ledger.columns.values() | map(attribute='name') | list
        + conversion.names | reject('in', ledger.columns.keys() | list) | list) }}
{%- endmacro %}
