{% macro delete_children_first(children_sql, parents_sql) -%}
    {{ return(adapter.dispatch('delete_children_first', 'vector_runtime')(children_sql, parents_sql)) }}
{%- endmacro %}

{#- DuckDB holds a row for referenced while the transaction that deleted the reference is open: a commit is between the
    two. What is interrupted there leaves parents without children, which the next run deletes. -#}
{% macro default__delete_children_first(children_sql, parents_sql) -%}
    {%- call statement('delete_children') -%}{{ children_sql }}{%- endcall -%}
    {% do adapter.commit() %}
    {%- call statement('delete_parents') -%}{{ parents_sql }}{%- endcall -%}
    {% do adapter.commit() %}
{%- endmacro %}

{% macro sqlserver__delete_children_first(children_sql, parents_sql) -%}
    {%- call statement('delete_children') -%}{{ children_sql }}{%- endcall -%}
    {%- call statement('delete_parents') -%}{{ parents_sql }}{%- endcall -%}
    {% do adapter.commit() %}
{%- endmacro %}
