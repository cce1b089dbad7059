{% macro ledger_default(column) -%}
    {%- set value = column.get('config', {}).get('meta', {}).get('default') -%}
    {%- if value is none -%} {{ return(none) }} {%- endif -%}
    {%- if value == 'random_id()' -%} {{ return(vector_runtime.random_id()) }} {%- endif -%}
    {%- if value == 'current_utc()' -%} {{ return(current_utc()) }} {%- endif -%}
    {#- Both engines take 1 for true. -#}
    {{ return(value | int | string if value is boolean or value is number else "'" ~ value ~ "'") }}
{%- endmacro %}
