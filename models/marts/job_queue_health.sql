with

queued_jobs as (

    select
        *,
        {{ current_utc() }} as now_utc
    from {{ ref('vector_runtime', 'job') }}
    where by_hand_flag is null

),

runs as (

    select
        *,
        {{ current_utc() }} as now_utc
    from {{ ref('vector_runtime', 'run') }}
    where status <> 'RUNNING'

),

depths as (

    select
        job_type,
        sum(case when status in ('NEW', 'FAILED') and available_utc <= now_utc then 1 else 0 end) as due_count,
        sum(case when status in ('NEW', 'FAILED') and available_utc > now_utc then 1 else 0 end) as delayed_count,
        sum(case when status = 'RUNNING' then 1 else 0 end) as running_count,
        sum(case when status = 'RUNNING' and lease_expires_utc < now_utc then 1 else 0 end) as lapsed_count,
        sum(case when status = 'DEADLETTER' and cancelled_utc is null then 1 else 0 end) as dead_count,
        max(
            case
                when status in ('NEW', 'FAILED') and available_utc <= now_utc
                    then {{ seconds_between('available_utc', 'now_utc') }}
            end
        ) as oldest_due_seconds
    from queued_jobs
    group by job_type

),

recent_runs as (

    select
        queued_jobs.job_type,
        count(*) as run_count,
        sum(case when runs.status = 'SUCCEEDED' then 1 else 0 end) as succeeded_count,
        sum(case when runs.status = 'FAILED' then 1 else 0 end) as failed_count,
        avg(
            case
                when runs.status = 'SUCCEEDED'
                    then {{ seconds_between('runs.started_utc', 'runs.completed_utc') }}
            end
        ) as average_seconds
    from runs
    inner join queued_jobs
        on runs.job_id = queued_jobs.job_id
    where {{ seconds_between('runs.completed_utc', 'runs.now_utc') }} <= 3600 * {{ var('queue_window_hours') }}
    group by queued_jobs.job_type

),

final as (

    select
        depths.job_type,
        cast(depths.due_count as integer) as due_count,
        cast(depths.delayed_count as integer) as delayed_count,
        cast(depths.running_count as integer) as running_count,
        cast(depths.lapsed_count as integer) as lapsed_count,
        cast(depths.dead_count as integer) as dead_count,
        depths.oldest_due_seconds,
        cast(coalesce(recent_runs.succeeded_count, 0) as integer) as succeeded_run_count,
        cast(coalesce(recent_runs.failed_count, 0) as integer) as failed_run_count,
        1.0e0 * coalesce(recent_runs.succeeded_count, 0) / {{ var('queue_window_hours') }} as jobs_per_hour,
        round(100.0e0 * recent_runs.failed_count / recent_runs.run_count, 2) as failure_percent,
        recent_runs.average_seconds
    from depths
    left join recent_runs
        on depths.job_type = recent_runs.job_type

)

select * from final
