{% macro ledger_key_columns(ledger) -%}
    {{ return(ledger.constraints | selectattr('type', 'equalto', 'primary_key') | map(attribute='columns') | sum(start=[])) }}
{%- endmacro %}
