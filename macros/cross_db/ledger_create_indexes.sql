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
    {%- for index in indexes -%}
        {%- set name = 'ix_' ~ relation.identifier ~ '_' ~ index.columns | join('_') -%}
        {% do run_query(
            "if not exists (select 1 from sys.indexes where name = N'" ~ name ~ "'"
            ~ " and object_id = object_id(N'" ~ relation.include(database=false) ~ "'))"
            ~ " create index " ~ name ~ " on " ~ relation.include(database=false)
            ~ " (" ~ index.columns | join(', ') ~ ")") %}
    {%- endfor -%}
{%- endmacro %}
