{% macro spark__create_csv_table(model, agate_table) -%}
    {%- set types = model.config.get('column_types', {}) -%}
    {%- set columns = [] -%}
    {%- for name in agate_table.column_names -%}
        {%- set type = types.get(name, adapter.convert_type(agate_table, loop.index0)) -%}
        {%- do columns.append(name ~ ' ' ~ vector_runtime.ledger_type(type) | trim) -%}
    {%- endfor -%}
    {%- set sql -%}
        create table {{ this }} (
            {{ columns | join(',\n            ') }}
        )
        using iceberg
    {%- endset -%}
    {%- call statement('_') -%} {{ sql }} {%- endcall -%}
    {{ return(sql) }}
{%- endmacro %}
