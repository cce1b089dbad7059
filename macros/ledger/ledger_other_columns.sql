{% macro ledger_other_columns(member) -%}
    {%- set definitions = [] -%}
    {%- for name in member.conversion.names if name not in member.ledger.columns -%}
        {%- do definitions.append(vector_runtime.ledger_quoted(member.ledger, name) ~ ' ' ~ member.shape.columns[name].type ~ ' null') -%}
    {%- endfor -%}
    {{ return(definitions) }}
{%- endmacro %}
