{{ config(severity='warn') }}

-- Source types whose script or language a space's model hardly knows: it spells texts out, letter by letter, or has no
-- tokens for them. Their vectors say little. Words carry a hybrid search of them; for vectors, take a model that was
-- trained in their languages. `vector doctor` looks at the texts themselves. dbt shows no rows of a test, so the log
-- names them.
{% set unread_source_types %}
    select
        spaces.space_key,
        chunks.source_type,
        concat(
            'it spells texts out: ',
            cast(1.0 * sum(embeddings.input_tokens) / sum({{ char_count('chunks.content') }}) as decimal(9, 2)),
            ' tokens a character'
        ) as problem
    from {{ ref('vector_runtime', 'embedding') }} as embeddings
    inner join {{ ref('vector_runtime', 'chunk') }} as chunks
        on
            embeddings.chunk_id = chunks.chunk_id
            and embeddings.input_content_sha256 = chunks.content_sha256
    inner join {{ ref('vector_runtime', 'embedding_space') }} as spaces
        on embeddings.embedding_space_id = spaces.embedding_space_id
    where
        chunks.retired_utc is null
        and {{ is_true('spaces.is_active') }}
        and embeddings.input_tokens is not null
        and coalesce(cast(embeddings.tokens_estimated_flag as integer), 0) = 0
    group by spaces.space_key, chunks.source_type
    having
        count(*) >= 10
        and sum(embeddings.input_tokens)
        > {{ var('max_tokens_per_character') }} * sum({{ char_count('chunks.content') }})
    union all
    select
        spaces.space_key,
        chunks.source_type,
        concat(
            'it has no tokens for ', count(*), ' of ', coverage.chunk_count, ' chunks (',
            cast(100.0 * avg(failures.unknown_token_share) as decimal(5, 1)), ' percent of their tokens are unknown)'
        ) as problem
    from {{ ref('vector_runtime', 'embedding_failure') }} as failures
    inner join {{ ref('vector_runtime', 'chunk') }} as chunks
        on
            failures.chunk_id = chunks.chunk_id
            and failures.input_content_sha256 = chunks.content_sha256
    inner join {{ ref('vector_runtime', 'embedding_space') }} as spaces
        on failures.embedding_space_id = spaces.embedding_space_id
    inner join {{ ref('vector_runtime', 'space_coverage') }} as coverage
        on
            failures.embedding_space_id = coverage.embedding_space_id
            and chunks.source_type = coverage.source_type
    where
        chunks.retired_utc is null
        and {{ is_true('spaces.is_active') }}
        and failures.reason = 'unknown_tokens'
    group by spaces.space_key, chunks.source_type, coverage.chunk_count
    having 20 * count(*) > coverage.chunk_count
{% endset %}
{% if execute and flags.WHICH in ('build', 'test') %}
    {% for row in run_query(unread_source_types) %}
        {% do log("model_reads_its_texts: the model of space " ~ row[0] ~ " hardly knows the texts of source type "
            ~ row[1] ~ ": " ~ row[2], info=true) %}
    {% endfor %}
{% endif %}
{{ unread_source_types }}
