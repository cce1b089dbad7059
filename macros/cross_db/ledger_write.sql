{% macro ledger_write(relation, changes, unique_key, counts) -%}
    {{ return(adapter.dispatch('ledger_write', 'vector_runtime')(relation, changes, unique_key, counts)) }}
{%- endmacro %}

{#- Two statements of the model's one transaction. -#}
{% macro default__ledger_write(relation, changes, unique_key, counts) -%}
    {%- if counts.updated -%}
        {%- call statement('update_ledger') -%} {{ vector_runtime.ledger_update_sql(relation, changes, unique_key) }} {%- endcall -%}
    {%- endif -%}
    {%- call statement('main') -%}
        {{ vector_runtime.ledger_insert_sql(relation, changes, unique_key) if counts.inserted else 'select 1 as unchanged' }}
    {%- endcall -%}
{%- endmacro %}

{#- There is no transaction of two statements, and no key that refuses a second row. Of two writers that merge the same new
    keys, the second fails if its MERGE has a WHEN MATCHED clause, and adds the rows again if not. -#}
{% macro spark__ledger_write(relation, changes, unique_key, counts) -%}
    {%- set names = model.columns.values() | map(attribute='name') | list -%}
    {%- call statement('main') -%}
        {%- if counts.inserted or counts.updated -%}
        merge into {{ relation }} as ledger
        using (
            {{ changes }}
        ) as change
        on {{ vector_runtime.ledger_key_match('ledger', 'change', unique_key) }}
        when matched then update set {{ vector_runtime.ledger_set_clause(unique_key) }}
        when not matched then insert ({{ names | join(', ') }}) values (change.{{ names | join(', change.') }})
        {%- else -%}
        select 1 as unchanged
        {%- endif -%}
    {%- endcall -%}
{%- endmacro %}
