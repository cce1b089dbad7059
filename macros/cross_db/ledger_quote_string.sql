{#- A text literal that keeps every Unicode character. -#}
{% macro ledger_quote_string(text) -%}
    {{ return(adapter.dispatch('ledger_quote_string')(text)) }}
{%- endmacro %}

{% macro default__ledger_quote_string(text) -%}
    '{{ text | replace("'", "''") }}'
{%- endmacro %}

{% macro sqlserver__ledger_quote_string(text) -%}
    N'{{ text | replace("'", "''") }}'
{%- endmacro %}
