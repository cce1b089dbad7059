with

dead_jobs as (

    select * from {{ ref('vector_runtime', 'job') }}
    where status = 'DEADLETTER'

),

runs as (

    select * from {{ ref('vector_runtime', 'run') }}

),

spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space') }}

),

numbered_runs as (

    select
        job_id,
        run_id,
        worker_id,
        row_number() over (
            partition by job_id
            order by started_utc desc, run_id desc
        ) as back_number
    from runs

),

final as (

    select
        dead_jobs.job_id,
        dead_jobs.job_type,
        dead_jobs.input_json,
        spaces.space_key,
        dead_jobs.attempt_count,
        dead_jobs.max_attempts,
        dead_jobs.last_error,
        numbered_runs.run_id as last_run_id,
        numbered_runs.worker_id as last_worker_id,
        dead_jobs.dedupe_key,
        dead_jobs.created_utc,
        dead_jobs.completed_utc,
        case
            when dead_jobs.cancelled_utc is not null then 'cancelled'
            when dead_jobs.by_hand_flag is not null then 'failed_by_hand'
            when dead_jobs.attempt_count >= dead_jobs.max_attempts then 'attempts_used_up'
            else 'permanent_error'
        end as dead_reason
    from dead_jobs
    left join numbered_runs
        on
            dead_jobs.job_id = numbered_runs.job_id
            and numbered_runs.back_number = 1
    left join spaces
        on dead_jobs.embedding_space_id = spaces.embedding_space_id

)

select * from final
