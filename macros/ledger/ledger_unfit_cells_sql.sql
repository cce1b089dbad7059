{% macro ledger_unfit_cells_sql(ledger, shape, conversion) -%}
    {%- set cases = [] -%}
    {%- for column in ledger.columns.values() if column.name in conversion.names -%}
        {%- set value = 'change.' ~ column.name -%}
        {%- set type = vector_runtime.ledger_declared_type(column.data_type) -%}
        {%- set converted = column.name in conversion.converted -%}
        {%- set built = shape.columns.get(column.name, {}) -%}
        {%- if converted or built.type != type -%}
            {%- set unlike = value ~ ' is not null and try_cast(' ~ value ~ ' as ' ~ type ~ ') is null' -%}
            {%- do cases.append((unlike, column.name, 'does not fit the type ' ~ type)) -%}
            {%- if not converted -%}
                {#- Else 1.5 would become 2, and a text be cut. -#}
                {%- set back = 'cast(try_cast(' ~ value ~ ' as ' ~ type ~ ') as ' ~ built.type ~ ')' -%}
                {%- do cases.append((
                    vector_runtime.is_distinct(back, value, column.data_type), column.name, 'would not be the same as ' ~ type)) -%}
            {%- elif '(' in column.data_type and 'char' in column.data_type | lower -%}
                {%- set limit = column.data_type.split('(')[1].split(')')[0] -%}
                {%- do cases.append((
                    vector_runtime.utf16_unit_count(vector_runtime.as_text(value)) ~ ' > ' ~ limit, column.name,
                    'is longer than the ' ~ limit ~ ' characters of its column')) -%}
            {%- endif -%}
        {%- endif -%}
        {%- if not vector_runtime.ledger_is_nullable(column) and (converted or built.nullable) -%}
            {%- do cases.append((value ~ ' is null', column.name, 'is null, and may not be')) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if cases -%}
        {{ vector_runtime.ledger_examples_sql(ledger, conversion.source, conversion.names, cases) }}
    {%- endif -%}
{%- endmacro %}
