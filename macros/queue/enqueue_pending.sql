{% macro enqueue_pending(priority=100, max_attempts=3) -%}
    {%- call statement('pending_spaces', fetch_result=true) -%}
        select pending.space_key from ({{ vector_runtime.pending_spaces_sql() }}) as pending order by pending.space_key
    {%- endcall -%}
    {%- set space_keys = load_result('pending_spaces')['data'] | map('first') | list -%}
    {%- if space_keys -%}
        {%- call statement('enqueue_pending') -%} {{ vector_runtime.enqueue_pending_sql(priority, max_attempts) }} {%- endcall -%}
    {%- endif -%}
    {% do adapter.commit() %}
    {% do log("enqueue_pending: " ~ (space_keys | join(', ') if space_keys else 'nothing to queue'), info=true) %}
{%- endmacro %}

{% macro pending_spaces_sql() -%}
    select distinct
        wanted.embedding_space_id,
        wanted.space_key
    from {{ ref('vector_runtime', 'embedding_pending') }} as wanted
    where
        not exists (
            select 1
            from {{ vector_runtime.held_table(ref('vector_runtime', 'job'), 'open_job') }}
            where
                open_job.dedupe_key = concat('embed:', wanted.embedding_space_id)
                and open_job.status in ('NEW', 'RUNNING', 'FAILED')
        )
{%- endmacro %}

{% macro enqueue_pending_sql(priority, max_attempts) -%}
    insert into {{ ref('vector_runtime', 'job') }} (
        job_id, job_type, input_json, status, priority, embedding_space_id, max_attempts, attempt_count,
        available_utc, created_utc, dedupe_key
    )
    select
        {{ vector_runtime.random_id() }},
        'EMBED_CHUNKS',
        concat('{"space_key":', {{ vector_runtime.json_string('pending.space_key') }}, '}'),
        'NEW',
        {{ priority | int }},
        pending.embedding_space_id,
        {{ max_attempts | int }},
        0,
        {{ current_utc() }},
        {{ current_utc() }},
        concat('embed:', pending.embedding_space_id)
    from ({{ vector_runtime.pending_spaces_sql() }}) as pending
{%- endmacro %}
