{#-
    A CHECK expression of a ledger's yml in the engine's words. The yml speaks DuckDB's; SQL Server's CHECK allows no
    subquery, so there the length of a JSON vector is left to the writer and to the tests. Null passes a CHECK.
-#}
{% macro ledger_check_expression(expression) -%}
    {{ return(adapter.dispatch('ledger_check_expression')(expression)) }}
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
