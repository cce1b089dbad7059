{% macro ledger_add_columns(relation) -%}
    {%- set existing = vector_runtime.ledger_existing_columns(relation) -%}
    {%- set drift = [] -%}
    {%- for column in model.columns.values() -%}
        {%- set declared = vector_runtime.ledger_declared_type(column.data_type) -%}
        {%- if column.name not in existing -%}
            {%- if 'not null' in vector_runtime.ledger_column_definition(column) -%}
                {%- do drift.append(column.name ~ ": not in the table, and not null in the contract"
                    ~ " (add it as nullable, fill it, then add the constraint yourself)") -%}
            {%- else -%}
                {% do run_query(vector_runtime.ledger_add_column_sql(relation, column)) %}
                {% do log("Ledger " ~ model.name ~ ": added column " ~ column.name, info=true) %}
            {%- endif -%}
        {%- elif existing[column.name] != declared -%}
            {%- do drift.append(column.name ~ ": " ~ existing[column.name] ~ " in the table, " ~ declared
                ~ " in the contract") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if drift -%}
        {% do exceptions.raise_compiler_error(
            "Ledger " ~ relation ~ " differs from its contract and is never altered in place:\n  "
            ~ drift | join("\n  ")
            ~ "\nGive the changed column a new name, or migrate the table by hand (docs/operations.md).") %}
    {%- endif -%}
{%- endmacro %}
