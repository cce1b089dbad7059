{% macro ledger_create(relation, ledger) -%}
    {%- call statement('create_ledger') -%} {{ ledger_create_sql(relation, ledger) }} {%- endcall -%}
    {% do ledger_set_version(relation, ledger) %}
{%- endmacro %}
