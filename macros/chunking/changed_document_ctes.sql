{% macro changed_document_ctes(documents, chunks, registry) %}
-- Only all chunks of a source say that they are those of a text: the registry is written before them, and a build that was
-- killed in between has left it ahead of them. It is asked for nothing but their number.
cut_sources as (

    select
        source_id,
        max(document_sha256) as document_sha256,
        count(*) as chunk_count
    from {{ chunks }}
    where
        managed_by = 'dbt'
        and retired_utc is null
    group by source_id
    having
        count(document_sha256) = count(*)
        and min(document_sha256) = max(document_sha256)

),

whole_sources as (

    select
        cut_sources.source_id,
        cut_sources.document_sha256
    from cut_sources
    inner join {{ registry }} as registry
        on
            cut_sources.source_id = registry.source_id
            and cut_sources.document_sha256 = registry.document_sha256
            and cut_sources.chunk_count = registry.chunk_count
    where
        registry.managed_by = 'dbt'
        and registry.retired_utc is null

),

-- Read once; of a document that has not changed, without its text.
compared_documents as (

    select
        {%- for column in [
            'source_id', 'source_type', 'source_ref_json', 'title', 'document_sha256', 'content_error', 'policy_version',
            'chunk_size', 'overlap', 'max_chunks_per_source', 'method', 'char_count', 'window_count', 'chunk_count'
        ] %}
        documents.{{ column }},
        {%- endfor %}
        case when whole_sources.source_id is null then documents.content end as content,
        whole_sources.source_id as unchanged_source_id
    from {{ documents }} as documents
    left join whole_sources
        on
            documents.source_id = whole_sources.source_id
            and documents.document_sha256 = whole_sources.document_sha256

),

all_documents as (

    select * from compared_documents
    where
        unchanged_source_id is null
        and content_error is null
        and method <> 'extract'

),

ledger_rows as (

    select chunk.*
    from {{ chunks }} as chunk
    where not exists (
        select 1
        from compared_documents
        where compared_documents.unchanged_source_id = chunk.source_id
    )

)
{%- endmacro %}
