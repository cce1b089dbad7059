{% macro sqlserver__create_csv_table(model, agate_table) -%}
    {%- set overrides = model.config.get('column_types', {}) -%}
    {%- set sql -%}
        create table {{ this.render() }} (
            {%- for name in agate_table.column_names %}
            {%- set type = overrides.get(name) or adapter.convert_type(agate_table, loop.index0) %}
            {%- if type.startswith('varchar') %}{% set type = 'nvarchar(max)' %}{% endif %}
            {{ adapter.quote(name) }} {{ type }}{{ ' collate Latin1_General_100_BIN2' if 'char' in type }}
            {{- ',' if not loop.last }}
            {%- endfor %}
        )
    {%- endset -%}
    {%- call statement('_') -%} {{ sql }} {%- endcall -%}
    {{ return(sql) }}
{%- endmacro %}
