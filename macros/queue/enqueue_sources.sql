{% macro enqueue_sources(source_type=none, limit=none, priority=100, max_attempts=3, dry_run=false) -%}
    {%- call statement('pending_sources', fetch_result=true) -%}
        select pending.source_type, count(*) as source_count
        from ({{ vector_runtime.pending_sources_sql(source_type, limit) }}) as pending
        group by pending.source_type
        order by pending.source_type
    {%- endcall -%}
    {%- set told = [] -%}
    {%- for row in load_result('pending_sources')['data'] -%} {%- do told.append(row[0] ~ ' ' ~ row[1]) -%} {%- endfor -%}
    {%- if told and not dry_run -%}
        {%- call statement('enqueue_sources') -%}
            {{ vector_runtime.enqueue_sources_sql(source_type, limit, priority, max_attempts) }}
        {%- endcall -%}
    {%- endif -%}
    {% do adapter.commit() %}
    {% do log(
        "enqueue_sources: " ~ ('would queue ' if told and dry_run else '')
        ~ (told | join(', ') if told else 'nothing to queue'), info=true) %}
{%- endmacro %}

{% macro pending_sources_sql(source_type, limit) -%}
    select
        waiting.source_id,
        waiting.source_type,
        waiting.dedupe_key
    from (
        select
            source_id,
            source_type,
            concat('extract:', {{ vector_runtime.sha256_hex('source_id') }}) as dedupe_key
        from {{ ref('vector_runtime', 'source_pending') }}
        {%- if source_type is not none %}
        where source_type = '{{ source_type | replace("'", "''") }}'
        {%- endif %}
    ) as waiting
    where
        not exists (
            select 1
            from {{ vector_runtime.held_table(ref('vector_runtime', 'job'), 'open_job') }}
            where
                open_job.dedupe_key = waiting.dedupe_key
                and open_job.status in ('NEW', 'RUNNING', 'FAILED')
        )
    {%- if limit is not none %}
    order by waiting.source_id
    offset 0 rows fetch next {{ limit | int }} rows only
    {%- endif %}
{%- endmacro %}

{% macro enqueue_sources_sql(source_type, limit, priority, max_attempts) -%}
    insert into {{ ref('vector_runtime', 'job') }} (
        job_id, job_type, input_json, status, priority, max_attempts, attempt_count, available_utc, created_utc, dedupe_key
    )
    select
        {{ vector_runtime.random_id() }},
        'CHUNK_SOURCE',
        concat(
            '{"from":{"source_id":', {{ vector_runtime.json_string('pending.source_id') }},
            '},"source_id":', {{ vector_runtime.json_string('pending.source_id') }}, '}'
        ),
        'NEW',
        {{ priority | int }},
        {{ max_attempts | int }},
        0,
        {{ current_utc() }},
        {{ current_utc() }},
        pending.dedupe_key
    from ({{ vector_runtime.pending_sources_sql(source_type, limit) }}) as pending
{%- endmacro %}
