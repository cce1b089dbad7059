{% macro ledger_declared_constraints(ledger) -%}
    {%- if not vector_runtime.ledger_keeps_constraints() -%} {{ return([]) }} {%- endif -%}
    {%- set texts = [] -%}
    {%- for constraint in ledger.constraints if constraint.type != 'check' -%}
        {%- set text = constraint.type.replace('_', ' ') ~ ' (' ~ constraint.columns | join(', ') ~ ')' -%}
        {%- if constraint.type == 'foreign_key' -%}
            {%- set text = text ~ ' references ' ~ constraint.parent_identifier ~ ' (' ~ constraint.to_columns | join(', ') ~ ')' -%}
        {%- endif -%}
        {%- do texts.append(text) -%}
    {%- endfor -%}
    {%- for text in vector_runtime.ledger_normal_checks(ledger) -%}
        {%- do texts.append('check ' ~ text) -%}
    {%- endfor -%}
    {{ return(texts) }}
{%- endmacro %}
