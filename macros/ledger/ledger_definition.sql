{% macro ledger_definition(ledger, other_columns=[], constraints=true) -%}
    {%- set parts = [] -%}
    {%- for column in ledger.columns.values() -%}
        {%- do parts.append(ledger_column_definition(column)) -%}
    {%- endfor -%}
    {%- do parts.extend(other_columns) -%}
    {%- do parts.extend(ledger_engine_columns(ledger)) -%}
    {%- for constraint in ledger.constraints if constraints -%}
        {%- do parts.append(ledger_constraint(ledger, constraint)) -%}
    {%- endfor -%}
    {{ parts | join(',\n        ') }}
{%- endmacro %}
