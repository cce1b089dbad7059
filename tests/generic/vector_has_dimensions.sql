{% test vector_has_dimensions(model, column_name) %}

select
    vectors.embedding_space_id,
    vectors.dimensions,
    spaces.dimensions as space_dimensions,
    {{ vector_length('vectors.' ~ column_name) }} as vector_length
from {{ model }} as vectors
left join {{ ref('vector_runtime', 'embedding_space') }} as spaces
    on vectors.embedding_space_id = spaces.embedding_space_id
where
    {{ vector_length('vectors.' ~ column_name) }} <> vectors.dimensions
    or vectors.dimensions <> spaces.dimensions

{% endtest %}
