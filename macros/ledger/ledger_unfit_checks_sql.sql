{% macro ledger_unfit_checks_sql(ledger, fit) -%}
    {%- set cases = [] -%}
    {%- for constraint in ledger.constraints if constraint.type == 'check' -%}
        {%- set expression = vector_runtime.ledger_check_expression(constraint.expression) -%}
        {%- set named = [] -%}
        {%- for column in ledger.columns.values()
            if column.data_type != 'float[]' and modules.re.search('\\b' ~ column.name ~ '\\b', expression) -%}
            {%- do named.append(column.name) -%}
        {%- endfor -%}
        {%- do cases.append((
            'not (' ~ expression ~ ')', named[0], 'is refused by ' ~ constraint.name ~ ', ' ~ expression | replace("'", "''"))) -%}
    {%- endfor -%}
    {%- if cases -%}
        {{ vector_runtime.ledger_examples_sql(ledger, '(' ~ fit ~ ')', ledger.columns.keys() | list, cases) }}
    {%- endif -%}
{%- endmacro %}
