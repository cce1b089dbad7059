{#-
    Policies that cannot cut: chunk_size must be positive, overlap from 0 to less than chunk_size, the cap at least 1.
    A colon in policy_version could give two chunks one id.
-#}
{% test chunk_policy_is_valid(model) %}

select policy_version
from {{ model }}
where
    chunk_size <= 0
    or overlap < 0
    or overlap >= chunk_size
    or max_chunks_per_source < 1
    or policy_version like '%:%'

{% endtest %}
