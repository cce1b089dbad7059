{% macro ledger_set_version(relation, ledger, shape={}) -%}
    {%- set said = 'ledger version ' ~ vector_runtime.ledger_declared_version(ledger) -%}
    {%- set comment = shape.get('comment', '') -%}
    {%- if 'ledger version ' in comment -%}
        {%- set comment = modules.re.sub('ledger version [0-9]+', said, comment) -%}
    {%- elif vector_runtime.ledger_declared_version(ledger) > 1 -%}
        {%- set comment = (comment ~ ' ' if comment else '') ~ said -%}
    {%- endif -%}
    {%- if comment -%}
        {%- call statement('set_ledger_version') -%} {{ vector_runtime.ledger_comment_sql(relation, comment) }} {%- endcall -%}
    {%- endif -%}
{%- endmacro %}
