{% macro default__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
    {%- set changed = seed_columns(model, agate_table) != seed_columns_built(old_relation) -%}
    {%- if changed and not full_refresh -%}
        {% do log(model.name ~ ": the columns are others than before, the table is made anew", info=true) %}
    {%- endif -%}
    {{ return(dbt.default__reset_csv_table(model, full_refresh or changed, old_relation, agate_table)) }}
{%- endmacro %}

{% macro seed_columns(model, agate_table) -%}
    {%- set overrides = model.config.get('column_types', {}) -%}
    {%- set columns = [] -%}
    {%- for name in agate_table.column_names -%}
        {%- do columns.append(
            (name | lower, seed_type(overrides.get(name) or adapter.convert_type(agate_table, loop.index0)))) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{% macro seed_columns_built(relation) -%}
    {%- set columns = [] -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do columns.append((column.name | lower, built_type(column))) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
