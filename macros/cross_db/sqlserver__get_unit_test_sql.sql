{% macro sqlserver__get_unit_test_sql(main_sql, expected_fixture_sql, expected_column_names) -%}
    {%- set suffix = local_md5(main_sql) ~ '_' ~ range(1300, 19000) | random -%}
    {%- set given_view = '[' ~ target.schema ~ '].[testview_' ~ suffix ~ ']' -%}
    {%- set expected_view = '[' ~ target.schema ~ '].[expectedview_' ~ suffix ~ ']' -%}
    {%- set selected = [] -%}
    {%- for column in adapter.get_columns_in_relation(make_temp_relation(this.incorporate(type='table'))) -%}
        {%- if column.quoted in expected_column_names -%}
            {%- do selected.append(column.quoted ~ (
                ' collate Latin1_General_100_BIN2 as ' ~ column.quoted if column.is_string() else '')) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do adapter.create_schema(api.Relation.create(database=target.database, schema=target.schema)) -%}
    {{ get_use_database_sql(target.database) }}
    exec('create view {{ given_view }} as {{ escape_single_quotes(main_sql) }};')
    exec('create view {{ expected_view }} as {{ escape_single_quotes(expected_fixture_sql) }};')
    select {{ selected | join(', ') }}, 'actual' as {{ adapter.quote('actual_or_expected') }} from {{ given_view }}
    union all
    select {{ selected | join(', ') }}, 'expected' as {{ adapter.quote('actual_or_expected') }} from {{ expected_view }};
    exec('drop view {{ given_view }};')
    exec('drop view {{ expected_view }};')
{%- endmacro %}
