{% macro ledger_column_definition(column) -%}
    {%- set types = column.constraints | map(attribute='type') | map('string') | list -%}
    {{ column.name }} {{ vector_runtime.ledger_type(column.data_type) }} {{ 'not null' if 'not_null' in types else 'null' }}
    {{- vector_runtime.ledger_compression(column) }}
{%- endmacro %}
