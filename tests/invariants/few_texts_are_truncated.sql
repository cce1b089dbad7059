{{ config(severity='warn') }}

-- Spaces in which the model saw less than the whole text of more chunks than `max_truncated_share` allows: their ends
-- cannot be found. A smaller chunk size, or a model with a longer context, helps.
select
    space_key,
    sum(truncated_count) as truncated_count,
    sum(current_count) as current_count
from {{ ref('space_coverage') }}
where {{ is_true('is_active') }}
group by space_key
having sum(truncated_count) > {{ var('max_truncated_share') }} * sum(current_count)
