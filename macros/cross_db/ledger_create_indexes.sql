{#-
    Creates a ledger's secondary indexes where they are missing. DuckDB gets none: it scans columns faster than it
    reads its index, and it refuses to update an indexed column of a table that another one references.
-#}
{% macro ledger_create_indexes(relation, indexes) -%}
    {{ return(adapter.dispatch('ledger_create_indexes')(relation, indexes)) }}
{%- endmacro %}

{% macro default__ledger_create_indexes(relation, indexes) -%}
{%- endmacro %}

{% macro sqlserver__ledger_create_indexes(relation, indexes) -%}
    {%- set clustered = config.get('meta', {}).get('clustered_index') -%}
    {%- if clustered -%}
        {% do run_query(ledger_create_index_sql(relation, clustered, 'clustered')) %}
    {%- endif -%}
    {%- for index in indexes if 'row_version' not in index.columns or ledger_engine_columns() -%}
        {% do run_query(ledger_create_index_sql(relation, index.columns, 'nonclustered')) %}
    {%- endfor -%}
{%- endmacro %}

{% macro ledger_create_index_sql(relation, columns, kind) -%}
    {%- set name = ('cx_' if kind == 'clustered' else 'ix_') ~ relation.identifier ~ '_' ~ columns | join('_') | replace(' ', '_') -%}
    if not exists (
        select 1 from sys.indexes
        where name = N'{{ name }}' and object_id = object_id(N'{{ relation.include(database=false) }}')
    )
    create {{ kind }} index {{ name }} on {{ relation.include(database=false) }} ({{ columns | join(', ') }})
{%- endmacro %}
