{% macro ledger_rebuild(members, family) -%}
    {{ return(adapter.dispatch('ledger_rebuild', 'vector_runtime')(members, family)) }}
{%- endmacro %}

{#- Rows are kept beside while parents and children are dropped and made anew: DuckDB can rename no table that another one
    refers to, and adds no constraint to one that exists. -#}
{% macro default__ledger_rebuild(members, family) -%}
    {%- for member in family -%}
        {%- set beside = vector_runtime.ledger_beside(member.ledger.relation) -%}
        {%- set converted = vector_runtime.ledger_converted_sql(member.ledger, member.shape, member.conversion) -%}
        {%- call statement('drop_leftover') -%} drop table if exists {{ beside }} {%- endcall -%}
        {%- call statement('keep_rows') -%} create table {{ beside }} as {{ converted }} {%- endcall -%}
        {% do vector_runtime.ledger_check_same_rows(member.ledger, converted, 'select * from ' ~ beside) %}
    {%- endfor -%}
    {%- for member in family | reverse -%}
        {%- call statement('drop_old') -%} drop table {{ member.ledger.relation }} {%- endcall -%}
    {%- endfor -%}
    {%- for member in family -%}
        {%- set relation = member.ledger.relation -%}
        {%- set beside = vector_runtime.ledger_beside(relation) -%}
        {%- set names = vector_runtime.ledger_column_names(member) -%}
        {%- call statement('create_new') -%}
            create table {{ relation }} (
                {{ vector_runtime.ledger_definition(member.ledger, vector_runtime.ledger_other_columns(member)) }}
            )
        {%- endcall -%}
        {%- call statement('fill_new') -%}
            insert into {{ relation }} ({{ names }}) select {{ names }} from {{ beside }}
        {%- endcall -%}
        {% do vector_runtime.ledger_check_same_rows(member.ledger, 'select * from ' ~ beside, 'select * from ' ~ relation) %}
        {%- call statement('drop_kept') -%} drop table {{ beside }} {%- endcall -%}
        {%- for index_sql in member.shape.indexes -%}
            {%- call statement('create_index') -%} {{ index_sql }} {%- endcall -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{#- The new table is filled without constraints, takes the old one's name, and then gets constraints, indexes and rights.
    Children keep their tables: their foreign keys go, and come back checked. -#}
{% macro sqlserver__ledger_rebuild(members, family) -%}
    {%- set rights = [] -%}
    {%- for member in family -%}
        {%- set relation = member.ledger.relation -%}
        {%- set beside = vector_runtime.ledger_beside(relation) -%}
        {%- set names = vector_runtime.ledger_column_names(member) -%}
        {%- set converted = vector_runtime.ledger_converted_sql(member.ledger, member.shape, member.conversion) -%}
        {%- do rights.extend(run_query(vector_runtime.ledger_rights_sql(relation)).columns[0].values()) -%}
        {%- call statement('hold_old') -%}
            {#- Who reads goes on; who writes waits for the end. -#}
            declare @held int;
            select @held = count(*) from (select top (1) 1 as one from {{ relation }} with (tablock, holdlock)) as held_row;
        {%- endcall -%}
        {%- call statement('drop_leftover') -%} drop table if exists {{ beside.include(database=false) }} {%- endcall -%}
        {%- call statement('create_new') -%}
            create table {{ beside.include(database=false) }} (
                {{ vector_runtime.ledger_definition(member.ledger, vector_runtime.ledger_other_columns(member), constraints=false) }}
            )
        {%- endcall -%}
        {%- call statement('fill_new') -%}
            insert into {{ beside }} with (tablock) ({{ names }}) {{ converted }}
        {%- endcall -%}
        {% do vector_runtime.ledger_check_same_rows(member.ledger, converted, 'select * from ' ~ beside) %}
    {%- endfor -%}
    {%- for member in family -%}
        {%- for reference in member.shape.references -%}
            {%- call statement('drop_reference') -%}
                alter table {{ reference.table }} drop constraint {{ reference.name }}
            {%- endcall -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for member in family -%}
        {%- set relation = member.ledger.relation -%}
        {%- call statement('drop_old') -%} drop table {{ relation.include(database=false) }} {%- endcall -%}
        {%- call statement('rename_new') -%}
            exec sp_rename N'{{ relation.schema }}.{{ vector_runtime.ledger_beside(relation).identifier }}', N'{{ relation.identifier }}', N'OBJECT'
        {%- endcall -%}
        {%- for constraint in member.ledger.constraints if constraint.type != 'foreign_key' -%}
            {%- call statement('add_constraint') -%}
                alter table {{ relation.include(database=false) }} add {{ vector_runtime.ledger_constraint(member.ledger, constraint) }}
            {%- endcall -%}
        {%- endfor -%}
        {%- for column in member.ledger.columns.values() if vector_runtime.ledger_default(column) is not none -%}
            {%- call statement('set_default') -%} {{ vector_runtime.ledger_set_default_sql(relation, member.ledger, column) }} {%- endcall -%}
        {%- endfor -%}
        {% do vector_runtime.ledger_create_indexes(relation, member.ledger) %}
    {%- endfor -%}
    {%- set rebuilt = family | map(attribute='ledger') | map(attribute='unique_id') | list -%}
    {%- for member in members.values() if member.shape.columns -%}
        {%- for constraint in member.ledger.constraints
            if constraint.type == 'foreign_key'
            and (member.ledger.unique_id in rebuilt or constraint.parent_id in rebuilt) -%}
            {%- call statement('add_reference') -%}
                alter table {{ member.ledger.relation.include(database=false) }} add {{ vector_runtime.ledger_constraint(member.ledger, constraint) }}
            {%- endcall -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for right in rights -%}
        {%- call statement('give_right') -%} {{ right }} {%- endcall -%}
    {%- endfor -%}
{%- endmacro %}

{% macro spark__ledger_rebuild(members, family) -%}
    {% do exceptions.raise_compiler_error(
        "Ledger " ~ family[0].ledger.name ~ " differs from its contract in more than a new column, and no rebuild is made on"
        ~ " Spark yet. Nothing was changed; keep the version that built it.") %}
{%- endmacro %}
