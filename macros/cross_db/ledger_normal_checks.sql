{% macro ledger_normal_checks(ledger) -%}
    {%- set expressions = ledger.constraints | selectattr('type', 'equalto', 'check') | map(attribute='expression') | list -%}
    {{ return(adapter.dispatch('ledger_normal_checks', 'vector_runtime')(ledger, expressions) if expressions else []) }}
{%- endmacro %}

{% macro default__ledger_normal_checks(ledger, expressions) -%}
    {%- set before = 'SELECT 1 WHERE ' -%}
    {%- set parsed = [] -%}
    {%- for expression in expressions -%}
        {%- set sql = before ~ vector_runtime.ledger_check_expression(expression) -%}
        {%- do parsed.append("json_deserialize_sql(json_serialize_sql('" ~ sql | replace("'", "''") ~ "'))") -%}
    {%- endfor -%}
    {%- set normal = [] -%}
    {%- for text in run_query('select ' ~ parsed | join(', ')).rows[0] -%}
        {%- do normal.append(text[before | length:]) -%}
    {%- endfor -%}
    {{ return(normal) }}
{%- endmacro %}

{% macro sqlserver__ledger_normal_checks(ledger, expressions) -%}
    {#- The server words a check in its own way: a temporary table of the same columns tells how. -#}
    {%- set parts = [] -%}
    {%- for column in ledger.columns.values() -%}
        {%- do parts.append(vector_runtime.ledger_column_definition(column)) -%}
    {%- endfor -%}
    {%- for expression in expressions -%}
        {%- do parts.append('check (' ~ vector_runtime.ledger_check_expression(expression) ~ ')') -%}
    {%- endfor -%}
    {%- set worded = run_query(vector_runtime.ledger_worded_checks_sql(parts | join(',\n    '))).columns[0].values() | list -%}
    {%- if worded | reject('none') | list | length != expressions | length -%}
        {% do exceptions.raise_compiler_error("The server does not say how it words the checks of " ~ ledger.name ~ ".") %}
    {%- endif -%}
    {{ return(worded) }}
{%- endmacro %}
