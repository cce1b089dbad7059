{#-
    Each pair of vectors of one space in a relation: embedding_space_id, place_a < place_b, and their inner product. The
    relation has embedding_space_id, place (a number, unique in its space) and vector.
-#}
{% macro vector_pairs(relation) -%}
    {{ return(adapter.dispatch('vector_pairs')(relation)) }}
{%- endmacro %}

{% macro default__vector_pairs(relation) -%}
    {%- set doubles -%}
        (
            select
                embedding_space_id,
                place,
                cast(vector as double[]) as vector
            from {{ relation }}
        )
    {%- endset -%}
    select
        vector_a.embedding_space_id,
        vector_a.place as place_a,
        vector_b.place as place_b,
        list_inner_product(vector_a.vector, vector_b.vector) as inner_product
    from {{ doubles }} as vector_a
    inner join {{ doubles }} as vector_b
        on
            vector_a.embedding_space_id = vector_b.embedding_space_id
            and vector_a.place < vector_b.place
{%- endmacro %}

{% macro sqlserver__vector_pairs(relation) -%}
    {#- Every vector is taken apart once, not once for each pair. Its elements are float32, whatever JSON's digits say. -#}
    {%- set elements -%}
        (
            select
                whole.embedding_space_id,
                whole.place,
                cast(element.[key] collate Latin1_General_100_BIN2 as int) as position,
                cast(cast(element.[value] as real) as float(53)) as element_value
            from {{ relation }} as whole
            cross apply openjson(whole.vector) as element
        )
    {%- endset -%}
    select
        vector_a.embedding_space_id,
        vector_a.place as place_a,
        vector_b.place as place_b,
        sum(vector_a.element_value * vector_b.element_value) as inner_product
    from {{ elements }} as vector_a
    inner join {{ elements }} as vector_b
        on
            vector_a.embedding_space_id = vector_b.embedding_space_id
            and vector_a.position = vector_b.position
            and vector_a.place < vector_b.place
    group by vector_a.embedding_space_id, vector_a.place, vector_b.place
{%- endmacro %}
