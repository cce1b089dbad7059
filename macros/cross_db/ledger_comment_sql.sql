{% macro ledger_comment_sql(relation, comment) -%}
    {{ return(adapter.dispatch('ledger_comment_sql', 'vector_runtime')(relation, comment | replace("'", "''"))) }}
{%- endmacro %}

{% macro default__ledger_comment_sql(relation, comment) -%}
    comment on table {{ relation }} is '{{ comment }}'
{%- endmacro %}

{% macro sqlserver__ledger_comment_sql(relation, comment) -%}
    {%- set table -%}
        @level0type = N'SCHEMA', @level0name = N'{{ relation.schema }}',
        @level1type = N'TABLE', @level1name = N'{{ relation.identifier }}'
    {%- endset -%}
    if exists (
        select 1
        from sys.extended_properties
        where class = 1 and minor_id = 0 and name = N'vector_ledger'
            and major_id = object_id(N'{{ relation.include(database=false) }}')
    )
    exec sp_updateextendedproperty @name = N'vector_ledger', @value = N'{{ comment }}', {{ table }}
    else
    exec sp_addextendedproperty @name = N'vector_ledger', @value = N'{{ comment }}', {{ table }}
{%- endmacro %}

{% macro spark__ledger_comment_sql(relation, comment) -%}
    comment on table {{ relation }} is '{{ comment }}'
{%- endmacro %}
