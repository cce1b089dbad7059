{#-
    Every column of a ledger that may change, set from the change. The columns of its keys never do, and DuckDB takes
    even the setting of one to its own value for a delete and an insert, which the rows that refer to it forbid.
-#}
{% macro ledger_set_clause(unique_key) -%}
    {%- set fixed = unique_key | list -%}
    {%- for constraint in model.constraints if constraint.type in ('primary_key', 'unique') -%}
        {%- do fixed.extend(constraint.columns) -%}
    {%- endfor -%}
    {%- set names = model.columns.values() | map(attribute='name') | reject('in', fixed) | list -%}
    {%- for name in names %}
        {{ name }} = change.{{ name }}{{ ',' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
