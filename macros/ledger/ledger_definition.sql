{% macro ledger_definition(relation) -%}
    {%- set parts = [] -%}
    {%- for column in model.columns.values() -%}
        {%- do parts.append(vector_runtime.ledger_column_definition(column)) -%}
    {%- endfor -%}
    {%- do parts.extend(vector_runtime.ledger_engine_columns()) -%}
    {%- for constraint in model.constraints -%}
        {%- do parts.append(vector_runtime.ledger_constraint(constraint)) -%}
    {%- endfor -%}
    {{ parts | join(',\n        ') }}
{%- endmacro %}
