{% macro ledger_insert_sql(relation, sql, unique_key) -%}
    {%- set names = model.columns.values() | map(attribute='name') | join(', ') -%}
    insert into {{ relation }} ({{ names }})
    select {{ names }}
    from (
        {{ sql }}
    ) as change
    where not exists (
        select 1
        from {{ relation }} as ledger
        where {{ vector_runtime.ledger_key_match('ledger', 'change', unique_key) }}
    )
{%- endmacro %}
