{{ config(severity='warn') }}

-- Source types of which no source is left: more likely a source that was empty for a moment than a wish. The chunks are
-- retired and no longer found; they and their vectors come back, unpaid for, when the source does.
select
    source_type,
    count(*) as retired_sources
from {{ ref('vector_runtime', 'source_registry') }}
where managed_by = 'dbt'
group by source_type
having count(*) = count(retired_utc)
