-- Jobs that succeeded without a run that did.
select job.job_id
from {{ ref('vector_runtime', 'job') }} as job
where
    job.status = 'SUCCEEDED'
    and not exists (
        select 1
        from {{ ref('vector_runtime', 'run') }} as run
        where
            run.job_id = job.job_id
            and run.status = 'SUCCEEDED'
    )
