{% macro ledger_definition(ledger, other_columns=[], constraints=true) -%}
    {%- set parts = [] -%}
    {%- for column in ledger.columns.values() -%}
        {%- do parts.append(vector_runtime.ledger_column_definition(
            column, vector_runtime.ledger_default_clause(ledger, column) if constraints else '')) -%}
    {%- endfor -%}
    {%- do parts.extend(other_columns) -%}
    {%- do parts.extend(vector_runtime.ledger_engine_columns(ledger)) -%}
    {%- for constraint in ledger.constraints if constraints -%}
        {%- do parts.append(vector_runtime.ledger_constraint(ledger, constraint)) -%}
    {%- endfor -%}
    {{ parts | join(',\n        ') }}
{%- endmacro %}
