{% macro ledger_keeps_constraints() -%}
    {{ return(adapter.dispatch('ledger_keeps_constraints', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__ledger_keeps_constraints() -%}
    {{ return(true) }}
{%- endmacro %}

{#- A lake knows NOT NULL alone: tests stand in for keys and checks, and who writes for defaults. -#}
{% macro spark__ledger_keeps_constraints() -%}
    {{ return(false) }}
{%- endmacro %}
