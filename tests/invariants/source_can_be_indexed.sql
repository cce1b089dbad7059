{{ config(severity='warn') }}

-- Current sources that have no chunks because their text cannot be read, or whose time or reference cannot be kept;
-- error_message says why.
select
    source_id,
    error_message
from {{ ref('vector_runtime', 'source_registry') }}
where
    status = 'error'
    and retired_utc is null
