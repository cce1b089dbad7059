{% macro ledger_worded_defaults_sql(types) -%}
    {{ return(adapter.dispatch('ledger_worded_defaults_sql', 'vector_runtime')(types)) }}
{%- endmacro %}

{% macro default__ledger_worded_defaults_sql(types) -%}
    {%- for expression in types %}
    select {{ loop.index0 }} as number, substr(json_deserialize_sql(json_serialize_sql('select {{ expression | replace("'", "''") }}')), 8) as worded
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- The server words a default in its own way: a temporary table tells how. -#}
{% macro sqlserver__ledger_worded_defaults_sql(types) -%}
create table #vector_ledger_default (
    {%- for expression, type in types.items() %}
    c{{ loop.index0 }} {{ type }} default ({{ expression }}){{ ',' if not loop.last }}
    {%- endfor %}
);
select
    cast(substring(c.name, 2, 10) as int) as number,
    worded.[definition] as worded
from tempdb.sys.default_constraints as worded
inner join tempdb.sys.columns as c on worded.parent_object_id = c.object_id and worded.parent_column_id = c.column_id
where worded.parent_object_id = object_id(N'tempdb..#vector_ledger_default');
drop table #vector_ledger_default;
{%- endmacro %}
