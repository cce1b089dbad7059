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
