{{ config(severity='warn', tags='vector_runtime_filled_by_python') }}

-- Sources whose chunks, and so vectors, are of an earlier payload or policy than the last build has seen. Tested after
-- CHUNK_SOURCE had its turn; one whose payload could not be read is told by source_can_be_indexed.
select
    source_id,
    source_type
from {{ ref('vector_runtime', 'source_registry') }}
where
    status = 'pending'
    and retired_utc is null
    and managed_by = 'dbt'
