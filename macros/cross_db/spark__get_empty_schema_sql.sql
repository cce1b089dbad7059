{% macro spark__get_empty_schema_sql(columns) -%}
    {%- set parts = [] -%}
    {%- for column in columns.values() -%}
        {%- do parts.append(vector_runtime.ledger_null(column.data_type) ~ ' as ' ~ column.name) -%}
    {%- endfor -%}
    select {{ parts | join(', ') }}
{%- endmacro %}
