{% macro empty_ledger() -%}
    {%- if not execute -%} {{ return('select 1 as placeholder') }} {%- endif -%}
    select
    {%- for column in model.columns.values() %}
        {{ vector_runtime.ledger_null(column.data_type) }} as {{ column.name }}{{ ',' if not loop.last }}
    {%- endfor %}
    where 1 = 0
{%- endmacro %}
