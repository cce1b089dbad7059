{% macro empty_ledger() -%}
    {%- if not execute -%} {{ return('select 1 as placeholder') }} {%- endif -%}
    {{ vector_runtime.ledger_no_rows_sql(model) }}
{%- endmacro %}
