{% macro held_table(relation, alias) -%}
    {{ return(adapter.dispatch('held_table', 'vector_runtime')(relation, alias)) }}
{%- endmacro %}

{% macro default__held_table(relation, alias) -%}
    {{ relation }} as {{ alias }}
{%- endmacro %}

{% macro sqlserver__held_table(relation, alias) -%}
    {{ relation }} as {{ alias }} with (updlock, holdlock)
{%- endmacro %}
