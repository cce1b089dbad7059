{% macro rows_by_name(relation, columns) -%}
    {%- set missing = [] -%}
    {#- Where models are built: a compile may have no database, and a table that is not built yet has no columns. -#}
    {%- if relation and execute and flags.WHICH in ('build', 'run') -%}
        {%- set found = adapter.get_columns_in_relation(relation) | map(attribute='name') | map('lower') | list -%}
        {%- for column in columns if found and column.name not in found -%}
            {%- if 'default' not in column -%}
                {% do exceptions.raise_compiler_error(
                    relation.identifier ~ ' lacks the column ' ~ column.name ~ '; it needs '
                    ~ columns | rejectattr('default', 'defined') | map(attribute='name') | join(', ')
                    ~ ', and may have ' ~ columns | selectattr('default', 'defined') | map(attribute='name') | join(', ')
                    ~ '.') %}
            {%- endif -%}
            {%- do missing.append(column.name) -%}
        {%- endfor -%}
    {%- endif -%}
    select
        {%- for column in columns %}
        {%- set value = 'null' if not relation else (column.default if column.name in missing else column.name) %}
        {{ vector_runtime.as_text(value, column.length) if column.type == 'text'
            else 'cast(' ~ value ~ ' as ' ~ vector_runtime.ledger_type(column.type) ~ ')' }} as {{ column.name }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    {%- if relation %}
    from {{ relation }}
    {%- else %}
    where 1 = 0
    {%- endif %}
{%- endmacro %}
