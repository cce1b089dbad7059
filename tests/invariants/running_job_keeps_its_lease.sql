{{ config(severity='warn') }}

-- Jobs whose lease ran out long ago: their worker is gone, and no other worker has looked at the queue since.
select
    job_id,
    locked_by,
    lease_expires_utc
from {{ ref('vector_runtime', 'job') }}
where
    status = 'RUNNING'
    and {{ seconds_between('lease_expires_utc', current_utc()) }} > {{ var('lapsed_lease_seconds') }}
