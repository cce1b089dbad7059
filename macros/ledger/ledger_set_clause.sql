{#- Every column of a ledger but its key, set from the change. -#}
{% macro ledger_set_clause(unique_key) -%}
    {%- set names = model.columns.values() | map(attribute='name') | reject('in', unique_key) | list -%}
    {%- for name in names %}
        {{ name }} = change.{{ name }}{{ ',' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
