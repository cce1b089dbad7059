{% macro prune_embeddings(days=none, dry_run=false) -%}
    {%- set days = vector_runtime.retention_days('embedding_days', days) -%}
    {% do vector_runtime.check_retention_arguments(days, dry_run, false) %}
    {%- set before = vector_runtime.retention_start(days) -%}
    {%- set counted = run_query(vector_runtime.prunable_count_sql(before)).rows[0] -%}
    {%- set found = counted[0] ~ " vectors that nothing has needed since " ~ before ~ " UTC" -%}
    {%- set kept = "; " ~ counted[1] ~ " more stay, as logged searches found them" if counted[1] else "" -%}
    {%- if dry_run -%}
        {% do log("Would delete " ~ found ~ kept ~ ".", info=true) %}
    {%- else -%}
        {%- if counted[0] -%}
            {% do vector_runtime.prune_statement(vector_runtime.pruning_begins_sql(days)) %}
            {%- set bounds = namespace(after='') -%}
            {%- for last_id in run_query(vector_runtime.prunable_batches_sql(before)).columns[0].values() -%}
                {#- One transaction with the vectors: the sketches of others would pass for those that these had. -#}
                {%- call statement('prune_sketches') -%}
                    {{ vector_runtime.prunable_delete_sql('embedding_sketch', before, bounds.after, last_id) }}
                {%- endcall -%}
                {% do vector_runtime.prune_statement(
                    vector_runtime.prunable_delete_sql('embedding', before, bounds.after, last_id)) %}
                {%- set bounds.after = last_id -%}
            {%- endfor -%}
            {% do vector_runtime.prune_statement(vector_runtime.pruning_ends_sql(counted[0])) %}
        {%- endif -%}
        {% do log("Deleted " ~ found ~ kept ~ ".", info=true) %}
    {%- endif -%}
{%- endmacro %}

{#- Each is a transaction of its own: what is interrupted goes on at the next run. -#}
{% macro prune_statement(sql) -%}
    {%- call statement('prune') -%}{{ sql }}{%- endcall -%}
    {% do adapter.commit() %}
{%- endmacro %}

{% macro prunable_embeddings_sql(before, found=false) -%}
    {%- set moment = "cast('" ~ before ~ "' as " ~ dbt.type_timestamp() | lower ~ ")" -%}
    select embedding.embedding_id
    from {{ ref('vector_runtime', 'embedding') }} as embedding
    inner join {{ ref('vector_runtime', 'chunk') }} as chunk
        on embedding.chunk_id = chunk.chunk_id
    inner join {{ ref('vector_runtime', 'space_status') }} as space
        on embedding.embedding_space_id = space.embedding_space_id
    left join (
        select
            earlier.chunk_id,
            earlier.content_sha256,
            min(later.created_utc) as superseded_utc
        from {{ ref('vector_runtime', 'chunk_version') }} as earlier
        inner join {{ ref('vector_runtime', 'chunk_version') }} as later
            on
                earlier.chunk_id = later.chunk_id
                and earlier.created_utc < later.created_utc
        group by earlier.chunk_id, earlier.content_sha256
    ) as version
        on
            embedding.chunk_id = version.chunk_id
            and embedding.input_content_sha256 = version.content_sha256
    where
        (
            chunk.retired_utc < {{ moment }}
            {#- A text that came back and went again has no later version: the chunk's last change is that, or later. #}
            or (
                embedding.input_content_sha256 <> chunk.content_sha256
                and coalesce(version.superseded_utc, chunk.updated_utc) < {{ moment }}
            )
            {#- An active space is embedded into, retired or not: what is deleted would be paid for again. #}
            or (
                space.status = 'retired'
                and not ({{ vector_runtime.is_true('space.is_active') }})
                and space.since_utc < {{ moment }}
            )
        )
        and {{ '' if found else 'not ' }}exists (
            select 1
            from {{ ref('vector_runtime', 'retrieval_hit') }} as hit
            inner join {{ ref('vector_runtime', 'retrieval') }} as retrieval
                on hit.retrieval_id = retrieval.retrieval_id
            where
                hit.chunk_id = embedding.chunk_id
                and hit.content_sha256 = embedding.input_content_sha256
                and retrieval.embedding_space_id = embedding.embedding_space_id
        )
{%- endmacro %}

{% macro prunable_count_sql(before) -%}
    select
        (select count(*) from ({{ vector_runtime.prunable_embeddings_sql(before) }}) as prunable) as prunable_count,
        (select count(*) from ({{ vector_runtime.prunable_embeddings_sql(before, found=true) }}) as needed) as needed_count
{%- endmacro %}

{% macro prunable_batches_sql(before) -%}
    select max(numbered.embedding_id) as last_id
    from (
        select
            prunable.embedding_id,
            {{ vector_runtime.ceil_divide('row_number() over (order by prunable.embedding_id)', '2000') }} as batch_number
        from ({{ vector_runtime.prunable_embeddings_sql(before) }}) as prunable
    ) as numbered
    group by numbered.batch_number
    order by last_id
{%- endmacro %}

{% macro prunable_delete_sql(ledger, before, after, last_id) -%}
    delete from {{ ref('vector_runtime', ledger) }}
    where
        embedding_id > '{{ after }}'
        and embedding_id <= '{{ last_id }}'
        and embedding_id in ({{ vector_runtime.prunable_embeddings_sql(before) }})
{%- endmacro %}

{% macro pruning_begins_sql(days) -%}
    insert into {{ ref('vector_runtime', 'erasure') }} (
        erasure_id, kind, erasure_reason, counts_json, cache_epoch, created_utc
    )
    values (
        '{{ invocation_id }}', 'pruning', 'prune_embeddings, older than {{ days }} days', '{}', 1, {{ current_utc() }}
    )
{%- endmacro %}

{% macro pruning_ends_sql(count) -%}
    update {{ ref('vector_runtime', 'erasure') }}
    set counts_json = '{"embedding":{{ count }}}', cache_epoch = 2, completed_utc = {{ current_utc() }}
    where erasure_id = '{{ invocation_id }}'
{%- endmacro %}
