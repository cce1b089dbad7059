{% macro ledger_constraint(ledger, constraint) -%}
    {%- if not constraint.name -%}
        {% do exceptions.raise_compiler_error("A constraint of ledger " ~ ledger.name ~ " has no name.") %}
    {%- endif -%}
    {%- set columns = constraint.columns | join(', ') -%}
    constraint {{ constraint.name }} {% if constraint.type == 'primary_key' -%}
        primary key {{ vector_runtime.ledger_primary_key_kind(ledger) }}({{ columns }})
    {%- elif constraint.type == 'unique' -%}
        unique ({{ columns }})
    {%- elif constraint.type == 'foreign_key' -%}
        foreign key ({{ columns }}) references {{ vector_runtime.ledger_reference(constraint.to) }} ({{ constraint.to_columns | join(', ') }})
    {%- elif constraint.type == 'check' -%}
        check ({{ vector_runtime.ledger_check_expression(constraint.expression) }})
    {%- else -%}
        {% do exceptions.raise_compiler_error(
            "Constraint " ~ constraint.name ~ " of ledger " ~ ledger.name ~ " has the type " ~ constraint.type
            ~ "; a ledger knows primary_key, unique, foreign_key and check.") %}
    {%- endif -%}
{%- endmacro %}
