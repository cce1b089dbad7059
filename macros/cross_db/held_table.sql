{#-
    A table, to be read in the condition of a write: the rows that meet it, and that there are no others, stay as they
    are until the transaction ends. DuckDB has one writer anyway.
-#}
{% macro held_table(relation, alias) -%}
    {{ return(adapter.dispatch('held_table')(relation, alias)) }}
{%- endmacro %}

{% macro default__held_table(relation, alias) -%}
    {{ relation }} as {{ alias }}
{%- endmacro %}

{% macro sqlserver__held_table(relation, alias) -%}
    {{ relation }} as {{ alias }} with (updlock, holdlock)
{%- endmacro %}
