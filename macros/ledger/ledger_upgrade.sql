{% macro ledger_upgrade(members) -%}
    {%- set family = members.values() | selectattr('rebuilt') | list -%}
    {#- One transaction: killed at whatever statement, every table is as it was, and nothing is left beside it. -#}
    {%- call statement('begin_upgrade') -%} {{ vector_runtime.ledger_assert_transaction_sql() }} {%- endcall -%}
    {%- if family -%}
        {#- One of them may refer to a ledger that is new. The other new ones come after: one that refers to a table which
            is rebuilt would keep that from being dropped. -#}
        {%- set needed = [] -%}
        {%- for id, member in members.items() | reverse if member.rebuilt or id in needed -%}
            {%- do needed.extend(
                member.ledger.constraints | selectattr('parent_id', 'defined') | map(attribute='parent_id')) -%}
        {%- endfor -%}
        {%- for id, member in members.items() if id in needed and not member.shape.columns -%}
            {% do vector_runtime.ledger_create(member.ledger.relation, member.ledger) %}
        {%- endfor -%}
        {% do vector_runtime.ledger_rebuild(members, family) %}
        {%- for id, member in members.items() if id not in needed and not member.shape.columns -%}
            {% do vector_runtime.ledger_create(member.ledger.relation, member.ledger) %}
        {%- endfor -%}
    {%- endif -%}
    {%- for member in members.values() if not member.rebuilt -%}
        {%- for name in member.defaults -%}
            {%- call statement('set_default') -%}
                {{ vector_runtime.ledger_set_default_sql(member.ledger.relation, member.ledger, member.ledger.columns[name], member.shape) }}
            {%- endcall -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for member in members.values() if member.due or member.rebuilt -%}
        {% do vector_runtime.ledger_set_version(member.ledger.relation, member.ledger, member.shape) %}
    {%- endfor -%}
    {% do adapter.commit() %}
{%- endmacro %}
