{% macro ledger_is_nullable(column) -%}
    {{ return('not_null' not in column.constraints | map(attribute='type') | map('string') | list) }}
{%- endmacro %}
