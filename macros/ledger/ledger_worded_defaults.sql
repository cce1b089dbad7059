{% macro ledger_worded_defaults(ledgers) -%}
    {%- set types = {} -%}
    {%- for ledger in ledgers if vector_runtime.ledger_keeps_constraints() -%}
        {%- for column in ledger.columns.values() if vector_runtime.ledger_default(column) is not none -%}
            {%- do types.update({vector_runtime.ledger_default(column): vector_runtime.ledger_type(column.data_type)}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set worded = {} -%}
    {%- if types -%}
        {%- for number, text in run_query(vector_runtime.ledger_worded_defaults_sql(types)).rows -%}
            {%- do worded.update({(types | list)[number | int]: text}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(worded) }}
{%- endmacro %}
