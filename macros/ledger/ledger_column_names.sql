{% macro ledger_column_names(member) -%}
    {%- set names = [] -%}
    {%- for name in vector_runtime.ledger_columns(member.ledger, member.conversion) -%}
        {%- do names.append(vector_runtime.ledger_quoted(member.ledger, name)) -%}
    {%- endfor -%}
    {{ return(names | join(', ')) }}
{%- endmacro %}
