{% macro ledger_column_definition(column, default='') -%}
    {{ column.name }} {{ vector_runtime.ledger_type(column.data_type) }}{{ default }} {{ 'null' if vector_runtime.ledger_is_nullable(column) else 'not null' }}
    {{- vector_runtime.ledger_compression(column) }}
{%- endmacro %}
