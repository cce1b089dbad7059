{% macro ledger_other_defaults(ledger, shape, worded) -%}
    {%- set found = [] -%}
    {%- for column in ledger.columns.values() if worded and column.name in shape.columns -%}
        {%- set declared = vector_runtime.ledger_default(column) -%}
        {%- if declared is not none and shape.defaults.get(column.name, {}).get('text') != worded[declared] -%}
            {%- do found.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
