{{ config(enabled=var('cut_all'), group='runtime') }}

-- Chunks of SQL that a cut of all texts gives otherwise, or not at all, or that only it gives. A build with `cut_all`
-- mends them. What CHUNK_SOURCE has cut of a payload is not looked at.
{% set differences = [] %}
{% for column in ['source_type', 'source_ref_json', 'context', 'content_sha256', 'policy_json', 'document_sha256'] %}
    {% do differences.append(is_distinct('chunks.' ~ column, 'chunk_windows.' ~ column, 'text')) %}
{% endfor %}
with

chunks as (

    select chunk.*
    from {{ ref('vector_runtime', 'chunk') }} as chunk
    left join {{ ref('vector_runtime', 'source_registry') }} as source_registry
        on chunk.source_id = source_registry.source_id
    where
        chunk.managed_by = 'dbt'
        and chunk.retired_utc is null
        and source_registry.extracted_sha256 is null

),

chunk_windows as (

    select * from {{ ref('vector_runtime', 'chunk_window') }}

),

final as (

    select
        chunks.chunk_id as found_chunk_id,
        chunk_windows.chunk_id as expected_chunk_id
    from chunks
    full outer join chunk_windows
        on chunks.chunk_id = chunk_windows.chunk_id
    where
        chunks.chunk_id is null
        or chunk_windows.chunk_id is null
        or {{ differences | join(' or ') }}

)

select * from final
