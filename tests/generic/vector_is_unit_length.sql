{% test vector_is_unit_length(model, column_name) %}

select
    vectors.embedding_space_id,
    vectors.sum_of_squares
from (
    select
        embedding_space_id,
        {{ vector_sum_of_squares(column_name) }} as sum_of_squares
    from {{ model }}
) as vectors
inner join {{ ref('vector_runtime', 'embedding_space') }} as spaces
    on vectors.embedding_space_id = spaces.embedding_space_id
where
    {{ is_true('spaces.normalize_flag') }}
    and (
        vectors.sum_of_squares is null
        or vectors.sum_of_squares < power(1.0e0 - {{ var('norm_tolerance') }}, 2)
        or vectors.sum_of_squares > power(1.0e0 + {{ var('norm_tolerance') }}, 2)
    )

{% endtest %}
