{% macro ledger_is_rebuilt_with_parent() -%}
    {{ return(adapter.dispatch('ledger_is_rebuilt_with_parent', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__ledger_is_rebuilt_with_parent() -%}
    {#- DuckDB can neither drop a table that another one refers to, nor a foreign key alone. -#}
    {{ return(true) }}
{%- endmacro %}

{% macro sqlserver__ledger_is_rebuilt_with_parent() -%}
    {{ return(false) }}
{%- endmacro %}

{% macro spark__ledger_is_rebuilt_with_parent() -%}
    {{ return(false) }}
{%- endmacro %}
