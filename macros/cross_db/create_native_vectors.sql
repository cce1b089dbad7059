{#-
    Keeps the vectors of one length as VECTOR(n) too, from SQL Server 2025 on, so that search compares them in the
    database. Makes the table `embedding_vector_<dimensions>` and fills it from `embedding`; the scripts write to it from
    then on. Run it again to fill what is missing; drop the table to go back.

        dbt run-operation create_native_vectors --args '{dimensions: 384}' --target sqlserver
-#}
{% macro create_native_vectors(dimensions) -%}
    {{ return(adapter.dispatch('create_native_vectors')(dimensions)) }}
{%- endmacro %}

{% macro default__create_native_vectors(dimensions) -%}
    {% do exceptions.raise_compiler_error(
        "This engine compares its own vectors already; create_native_vectors is for SQL Server 2025.") %}
{%- endmacro %}

{% macro sqlserver__create_native_vectors(dimensions) -%}
    {%- set dimensions = dimensions | int -%}
    {%- if dimensions < 1 or dimensions > 1998 -%}
        {% do exceptions.raise_compiler_error(
            "A VECTOR has 1 to 1,998 dimensions, not " ~ dimensions ~ "; longer ones stay JSON.") %}
    {%- endif -%}
    {#- Beside the ledger, wherever that was built: the scripts look for it there. -#}
    {%- set embedding = ref('embedding') -%}
    {%- set table = embedding.incorporate(path={'identifier': 'embedding_vector_' ~ dimensions}) -%}
    {%- call statement('create_native_vectors') -%}
        {{ native_vectors_table_sql(embedding, table, dimensions) }}
    {%- endcall -%}
    {%- call statement('fill_native_vectors') -%}
        {{ native_vectors_fill_sql(embedding, table, dimensions) }}
    {%- endcall -%}
    {% do adapter.commit() %}
    {% do log("Vectors of " ~ dimensions ~ " dimensions are kept in " ~ table ~ " from now on.", info=true) %}
{%- endmacro %}

{% macro native_vectors_table_sql(embedding, table, dimensions) -%}
    if object_id(N'{{ table | replace("'", "''") }}', N'U') is null
    create table {{ table }} (
        embedding_id varchar(36) collate Latin1_General_100_BIN2 not null,
        vector vector({{ dimensions }}) not null,
        constraint pk_embedding_vector_{{ dimensions }} primary key clustered (embedding_id),
        constraint fk_embedding_vector_{{ dimensions }}_embedding foreign key (embedding_id)
            references {{ embedding.include(database=false) }} (embedding_id)
    )
{%- endmacro %}

{% macro native_vectors_fill_sql(embedding, table, dimensions) -%}
    insert into {{ table }} (embedding_id, vector)
    select
        embedding.embedding_id,
        cast(embedding.vector as vector({{ dimensions }}))
    from {{ embedding }} as embedding
    where
        embedding.dimensions = {{ dimensions }}
        and not exists (
            select 1
            from {{ table }} as native
            where native.embedding_id = embedding.embedding_id
        )
{%- endmacro %}
