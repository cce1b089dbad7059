{% test sha256_matches(model, column_name, text_column) %}

select {{ column_name }} as stored_sha256
from {{ model }}
where {{ column_name }} <> {{ sha256_hex(text_column) }}

{% endtest %}
