{% macro ledger_create_index_sql(relation, columns, kind) -%}
    {%- set name = ('cx_' if kind == 'clustered' else 'ix_') ~ relation.identifier ~ '_' ~ columns | join('_') | replace(' ', '_') -%}
    if not exists (
        select 1 from sys.indexes
        where name = N'{{ name }}' and object_id = object_id(N'{{ relation.include(database=false) }}')
    )
    create {{ kind }} index {{ name }} on {{ relation.include(database=false) }} ({{ columns | join(', ') }})
{%- endmacro %}
