{% test chunk_policy_is_valid(model) %}

select policy_version
from {{ model }}
where
    chunk_size <= 0
    or overlap < 0
    or overlap >= chunk_size
    or max_chunks_per_source < 1
    or policy_version like '%:%'
    or coalesce(method, 'characters') not in ('characters', 'paragraphs', 'sentences', 'markdown', 'extract')
    or (method in ('paragraphs', 'extract') and overlap >= chunk_size - {{ floor_divide('chunk_size', 4) }})
    or (source_type = '*' and method in ('sentences', 'markdown'))
    or (tokenizer is not null and coalesce(method, 'characters') in ('characters', 'paragraphs', 'extract'))
    or (
        coalesce(payload_format, json_path, value_format) is not null
        and coalesce(method, 'characters') <> 'extract'
    )
    or (json_path is null and payload_format = 'json')
    or (coalesce(json_path, value_format) is not null and coalesce(payload_format, '') <> 'json')

{% endtest %}
