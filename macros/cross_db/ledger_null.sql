{% macro ledger_null(data_type) -%}
    {{ return(adapter.dispatch('ledger_null', 'vector_runtime')(data_type)) }}
{%- endmacro %}

{% macro default__ledger_null(data_type) -%}
    cast(null as {{ vector_runtime.ledger_type(data_type) }})
{%- endmacro %}

{% macro sqlserver__ledger_null(data_type) -%}
    {#- A cast takes no collation: it follows. -#}
    {%- set type, separator, collation = vector_runtime.ledger_type(data_type).partition(' collate ') -%}
    cast(null as {{ type }}){{ separator ~ collation }}
{%- endmacro %}
