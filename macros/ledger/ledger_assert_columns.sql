{% macro ledger_assert_columns(sql) -%}
    {#- By name only: dbt's own check would cast to the data_types of the yml, which speak DuckDB. -#}
    {%- set given = get_columns_in_query(sql) | map('lower') | sort -%}
    {%- set declared = model.columns.values() | map(attribute='name') | map('lower') | sort -%}
    {%- if given != declared -%}
        {% do exceptions.raise_compiler_error(
            "Ledger " ~ model.name ~ ": its SQL gives " ~ given | join(', ') ~ "; its contract names "
            ~ declared | join(', ')) %}
    {%- endif -%}
{%- endmacro %}
