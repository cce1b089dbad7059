{% macro ledger_unstage() -%}
    {{ return(adapter.dispatch('ledger_unstage', 'vector_runtime')()) }}
{%- endmacro %}

{% macro default__ledger_unstage() -%}
    {%- call statement('unstage_ledger') -%} drop table {{ model.name }}__changes {%- endcall -%}
{%- endmacro %}

{% macro sqlserver__ledger_unstage() -%}
{%- endmacro %}

{% macro spark__ledger_unstage() -%}
    {%- call statement('unstage_ledger') -%} drop view {{ model.name }}__changes {%- endcall -%}
{%- endmacro %}
