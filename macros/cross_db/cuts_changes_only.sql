{% macro cuts_changes_only() -%}
    {{ return(adapter.dispatch('cuts_changes_only', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__cuts_changes_only() -%}
    {{ return(not var('cut_all')) }}
{%- endmacro %}

{#- A ledger's change set is a subquery of two statements there, in which T-SQL takes no CTE. -#}
{% macro sqlserver__cuts_changes_only() -%}
    {{ return(false) }}
{%- endmacro %}

{#- Not measured there: to plan the cut takes longer than to cut, and this plans more. -#}
{% macro spark__cuts_changes_only() -%}
    {{ return(false) }}
{%- endmacro %}
