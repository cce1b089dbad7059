{% macro ledger_assert_contract(sql) -%}
    {{ return(adapter.dispatch('ledger_assert_contract', 'vector_runtime')(sql)) }}
{%- endmacro %}

{% macro default__ledger_assert_contract(sql) -%}
    {% do get_assert_columns_equivalent(sql) %}
{%- endmacro %}

{% macro sqlserver__ledger_assert_contract(sql) -%}
    {#- By name only: dbt's own check would cast to the data_types of the yml, which speak DuckDB. -#}
    {%- set given = get_columns_in_query(sql) | map('lower') | sort -%}
    {%- set declared = model.columns.values() | map(attribute='name') | map('lower') | sort -%}
    {%- if given != declared -%}
        {% do exceptions.raise_compiler_error(
            "Ledger " ~ model.name ~ ": its SQL gives " ~ given | join(', ') ~ "; its contract names "
            ~ declared | join(', ')) %}
    {%- endif -%}
{%- endmacro %}

{#- To plan a ledger's SQL takes a minute there: ledger_stage checks what it has staged. -#}
{% macro spark__ledger_assert_contract(sql) -%}
    {%- if flags.EMPTY or flags.SAMPLE -%}
        {% do vector_runtime.sqlserver__ledger_assert_contract(sql) %}
    {%- endif -%}
{%- endmacro %}
