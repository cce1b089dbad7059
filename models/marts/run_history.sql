with

runs as (

    select * from {{ ref('vector_runtime', 'run') }}

),

jobs as (

    select * from {{ ref('vector_runtime', 'job') }}

),

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

final as (

    select
        runs.run_id,
        runs.job_id,
        jobs.job_type,
        row_number() over (
            partition by runs.job_id
            order by runs.started_utc, runs.run_id
        ) as run_number,
        runs.status,
        runs.worker_id,
        spaces.space_key,
        runs.model_name,
        runs.model_digest,
        runs.endpoint_url,
        runs.options_json,
        runs.metrics_json,
        runs.error,
        runs.started_utc,
        runs.completed_utc,
        {{ seconds_between('runs.started_utc', 'runs.completed_utc') }} as seconds,
        jobs.by_hand_flag
    from runs
    inner join jobs
        on runs.job_id = jobs.job_id
    left join spaces
        on runs.embedding_space_id = spaces.embedding_space_id

)

select * from final
