{% macro ledger_definition(relation) -%}
    {%- set parts = [] -%}
    {%- for column in model.columns.values() -%}
        {%- do parts.append(ledger_column_definition(column)) -%}
    {%- endfor -%}
    {%- do parts.extend(ledger_engine_columns()) -%}
    {%- for constraint in model.constraints -%}
        {%- do parts.append(ledger_constraint(constraint)) -%}
    {%- endfor -%}
    {{ parts | join(',\n        ') }}
{%- endmacro %}
