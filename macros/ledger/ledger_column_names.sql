{% macro ledger_column_names(member) -%}
    {%- set names = [] -%}
    {%- for name in ledger_columns(member.ledger, member.conversion) -%}
        {%- do names.append(ledger_quoted(member.ledger, name)) -%}
    {%- endfor -%}
    {{ return(names | join(', ')) }}
{%- endmacro %}
