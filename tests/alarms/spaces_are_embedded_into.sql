{{ config(enabled=var('alarm_hours_without_embed') is not none) }}

-- Active spaces without an embed run that has succeeded in the last `alarm_hours_without_embed` hours, one with nothing
-- to do included; a new space has as long. Nobody has called `vector refresh`, or it fails.
{% set found %}
    select concat(
        spaces.space_key, ': no embed run has succeeded for ',
        cast(floor({{ seconds_between('spaces.since_utc', current_utc()) }} / 3600) as integer), ' hours'
    ) as finding
    from (
        select
            embedding_space.space_key,
            coalesce(max(run_history.completed_utc), embedding_space.created_utc) as since_utc
        from {{ ref('vector_runtime', 'embedding_space') }} as embedding_space
        left join {{ ref('vector_runtime', 'run_history') }} as run_history
            on
                embedding_space.space_key = run_history.space_key
                and run_history.job_type = 'EMBED_CHUNKS'
                and run_history.status = 'SUCCEEDED'
        where {{ is_true('embedding_space.is_active') }}
        group by embedding_space.space_key, embedding_space.created_utc
    ) as spaces
    where
        {{ seconds_between('spaces.since_utc', current_utc()) }}
        > 3600 * {{ var('alarm_hours_without_embed') | float }}
{% endset %}
{{ log_findings(found) }}
{{ found }}
