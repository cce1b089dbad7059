{% macro ledger_differences(ledger, shape) -%}
    {%- set found = [] -%}
    {%- set keys = vector_runtime.ledger_key_columns(ledger) -%}
    {%- for column in ledger.columns.values() -%}
        {%- set nullable = vector_runtime.ledger_is_nullable(column) and column.name not in keys -%}
        {%- set built = shape.columns.get(column.name) -%}
        {%- set declared = vector_runtime.ledger_declared_type(column.data_type) -%}
        {%- if built is none -%}
            {%- if not nullable -%} {%- do found.append(column.name ~ " is new, and not null") -%} {%- endif -%}
        {%- elif built.type != declared -%}
            {%- do found.append(column.name ~ " is " ~ built.type ~ " in the table, " ~ declared ~ " in the contract") -%}
        {%- elif built.nullable != nullable -%}
            {%- do found.append(column.name ~ " may " ~ ("" if built.nullable else "not ") ~ "be null in the table, and may "
                ~ ("" if nullable else "not ") ~ "in the contract") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set declared = vector_runtime.ledger_declared_constraints(ledger) -%}
    {%- for text in declared if text not in shape.constraints -%}
        {%- do found.append("new " ~ text) -%}
    {%- endfor -%}
    {%- for text in shape.constraints if text not in declared -%}
        {%- do found.append("no more " ~ text) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
