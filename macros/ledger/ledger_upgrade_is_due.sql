{% macro ledger_upgrade_is_due() -%}
    {%- if flags.WHICH == 'run-operation' -%} {{ return(true) }} {%- endif -%}
    {%- set selected = selected_resources | list -%}
    {{ return(
        flags.WHICH in ['run', 'build']
        and vector_runtime.ledger_graph() | map(attribute='unique_id') | select('in', selected) | list | length > 0
    ) }}
{%- endmacro %}
