{% macro ledger_create(relation, ledger) -%}
    {%- call statement('create_ledger') -%} {{ vector_runtime.ledger_create_sql(relation, ledger) }} {%- endcall -%}
    {% do vector_runtime.ledger_set_version(relation, ledger) %}
{%- endmacro %}
