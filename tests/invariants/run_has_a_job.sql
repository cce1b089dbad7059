-- Runs that no job asked for.
select run.run_id
from {{ ref('vector_runtime', 'run') }} as run
left join {{ ref('vector_runtime', 'job') }} as job
    on run.job_id = job.job_id
where job.job_id is null
