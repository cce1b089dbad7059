{% macro ledger_existing_columns(relation) -%}
    {{ return(adapter.dispatch('ledger_existing_columns', 'vector_runtime')(relation)) }}
{%- endmacro %}

{% macro default__ledger_existing_columns(relation) -%}
    {%- set columns = {} -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do columns.update({column.name: column.dtype | lower}) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{% macro sqlserver__ledger_existing_columns(relation) -%}
    {%- set columns = {} -%}
    {%- set rows = run_query(
        "select c.name, t.name, c.max_length, c.scale from sys.columns as c"
        ~ " inner join sys.types as t on t.user_type_id = c.user_type_id"
        ~ " where c.object_id = object_id(N'" ~ relation.include(database=false) ~ "')") -%}
    {%- for name, type, max_length, scale in rows.rows -%}
        {%- if type == 'nvarchar' -%}
            {%- set type = 'nvarchar(' ~ ('max' if max_length == -1 else max_length // 2) ~ ')' -%}
        {%- elif type == 'varchar' -%}
            {%- set type = 'varchar(' ~ ('max' if max_length == -1 else max_length) ~ ')' -%}
        {%- elif type == 'datetime2' -%}
            {%- set type = 'datetime2(' ~ scale ~ ')' -%}
        {%- endif -%}
        {%- do columns.update({name: type}) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
