{% test vector_is_finite(model, column_name) %}

select embedding_space_id
from {{ model }}
where {{ column_name }} is not null and not {{ vector_is_finite(column_name) }}

{% endtest %}
