select
    concat('article:', id) as source_id,
    'article' as source_type,
    concat('{"id":', id, '}') as source_ref_json,
    title,
    body as content,
    '["help"]' as tags_json,
    cast('2026-01-01' as date) as updated_utc
from {{ ref('article') }}
