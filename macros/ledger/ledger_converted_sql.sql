{% macro ledger_converted_sql(ledger, shape, conversion, cast='cast') -%}
    {%- set parts = [] -%}
    {%- for name in vector_runtime.ledger_columns(ledger, conversion) -%}
        {%- set column = ledger.columns.get(name) -%}
        {%- if name not in conversion.names -%}
            {%- do parts.append(vector_runtime.ledger_null(column.data_type) ~ ' as ' ~ name) -%}
        {%- elif column is none or (
            name not in conversion.converted and shape.columns[name].type == vector_runtime.ledger_declared_type(column.data_type)
        ) -%}
            {%- do parts.append('change.' ~ vector_runtime.ledger_quoted(ledger, name)) -%}
        {%- else -%}
            {%- do parts.append(
                cast ~ '(change.' ~ name ~ ' as ' ~ vector_runtime.ledger_declared_type(column.data_type) ~ ') as ' ~ name) -%}
        {%- endif -%}
    {%- endfor -%}
    select {{ parts | join(', ') }} from {{ conversion.source }} as change
{%- endmacro %}
