{% test is_sha256(model, column_name) %}

select {{ column_name }} as not_a_sha256
from {{ model }}
where not {{ looks_like_sha256(column_name) }}

{% endtest %}
