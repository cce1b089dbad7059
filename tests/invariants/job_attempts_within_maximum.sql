-- Jobs with more attempts than they may have.
select
    job_id,
    attempt_count,
    max_attempts
from {{ ref('vector_runtime', 'job') }}
where attempt_count > max_attempts
