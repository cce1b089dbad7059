{% macro ledger_no_rows_sql(ledger) -%}
    select
    {%- for column in ledger.columns.values() %}
        {{ vector_runtime.ledger_null(column.data_type) }} as {{ column.name }}{{ ',' if not loop.last }}
    {%- endfor %}
    where 1 = 0
{%- endmacro %}
