{% test belongs_to_space(model) %}

select
    vectors.embedding_space_id,
    vectors.dimensions
from {{ model }} as vectors
left join {{ ref('vector_runtime', 'embedding_space') }} as spaces
    on
        vectors.embedding_space_id = spaces.embedding_space_id
        and vectors.dimensions = spaces.dimensions
where spaces.embedding_space_id is null

{% endtest %}
