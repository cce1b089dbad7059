{% macro counted_document_ctes(documents, registry) %}
known_counts as (

    select
        source_id,
        document_sha256,
        chunk_count,
        chunk_capped_flag,
        blank_char_count
    from {{ registry }}
    where
        managed_by = 'dbt'
        and retired_utc is null
        and chunk_count is not null

),

-- Read once; of a document whose counts are known, or that is not cut here, without its text.
all_documents as (

    select
        {%- for column in [
            'source_id', 'source_type', 'source_ref_json', 'title', 'content_sha256', 'char_count', 'tags_json',
            'source_updated_utc', 'content_error', 'metadata_error', 'policy_version', 'chunk_size', 'overlap',
            'max_chunks_per_source', 'method', 'window_count', 'chunk_count', 'document_sha256'
        ] %}
        documents.{{ column }},
        {%- endfor %}
        documents.chunk_size - documents.overlap as step,
        case
            when known_counts.source_id is null and documents.method <> 'extract' then documents.content
        end as content,
        known_counts.source_id as known_source_id,
        known_counts.chunk_count as known_chunk_count,
        known_counts.chunk_capped_flag as known_chunk_capped_flag,
        known_counts.blank_char_count as known_blank_char_count
    from {{ documents }} as documents
    left join known_counts
        on
            documents.source_id = known_counts.source_id
            and documents.document_sha256 = known_counts.document_sha256

)
{%- endmacro %}
