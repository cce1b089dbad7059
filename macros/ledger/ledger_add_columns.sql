{% macro ledger_add_columns(relation) -%}
    {%- set existing = vector_runtime.ledger_shape(relation).columns -%}
    {%- for column in model.columns.values() -%}
        {%- set built = existing.get(column.name, {'type': vector_runtime.ledger_declared_type(column.data_type)}) -%}
        {%- if built.type != vector_runtime.ledger_declared_type(column.data_type)
            or (column.name not in existing and not vector_runtime.ledger_is_nullable(column)) -%}
            {% do exceptions.raise_compiler_error(
                "Ledger " ~ relation ~ " differs from its contract in the column " ~ column.name ~ ", and was not rebuilt before"
                ~ " this run. Run `dbt run-operation upgrade_ledgers`.") %}
        {%- endif -%}
        {%- if column.name not in existing -%}
            {% do run_query(vector_runtime.ledger_add_column_sql(relation, column)) %}
            {%- if vector_runtime.ledger_default(column) is not none -%}
                {% do run_query(vector_runtime.ledger_set_default_sql(relation, model, column)) %}
            {%- endif -%}
            {% do log("Ledger " ~ model.name ~ ": added column " ~ column.name, info=true) %}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}
