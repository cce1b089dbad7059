{% macro ledger_quoted(ledger, name) -%}
    {#- A column of the owner's may have any name. -#}
    {{ return(name if name in ledger.columns else adapter.quote(name)) }}
{%- endmacro %}
