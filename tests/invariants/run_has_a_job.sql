-- Runs that no job asked for.
select run.run_id
from {{ ref('run') }} as run
left join {{ ref('job') }} as job
    on run.job_id = job.job_id
where job.job_id is null
