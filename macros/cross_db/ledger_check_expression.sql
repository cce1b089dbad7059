{% macro ledger_check_expression(expression) -%}
    {{ return(adapter.dispatch('ledger_check_expression', 'vector_runtime')(expression)) }}
{%- endmacro %}

{% macro default__ledger_check_expression(expression) -%}
    {{ expression }}
{%- endmacro %}

{% macro sqlserver__ledger_check_expression(expression) -%}
    {%- if expression.startswith('len(vector)') -%}
        isjson(vector) = 1
    {%- elif expression.startswith('json_valid(') -%}
        {{ expression | replace('json_valid(', 'isjson(') }} = 1
    {%- else -%}
        {{ expression }}
    {%- endif -%}
{%- endmacro %}
