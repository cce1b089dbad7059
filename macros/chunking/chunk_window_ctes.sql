{% macro chunk_window_ctes() %}
documents as (

    select
        *,
        chunk_size - overlap as step
    from all_documents
    where chunk_count > 0

),

{{ vector_runtime.window_ctes() }},

paragraph_documents as (

    select * from all_documents
    where
        method = 'paragraphs'
        and content_error is null

),

{{ vector_runtime.paragraph_ctes() }},

all_windows as (

    select
        source_id,
        source_type,
        source_ref_json,
        title,
        document_sha256,
        policy_version,
        chunk_size,
        overlap,
        max_chunks_per_source,
        '' as method_json,
        chunk_index,
        start_offset,
        end_offset,
        content
    from windows
    union all
    select
        source_id,
        source_type,
        source_ref_json,
        title,
        document_sha256,
        policy_version,
        chunk_size,
        overlap,
        max_chunks_per_source,
        '"method":"paragraphs",' as method_json,
        chunk_index,
        start_offset,
        end_offset,
        content
    from paragraph_windows

),

{{ vector_runtime.heading_ctes() }},

with_headings as (

    select
        all_windows.*,
        section_paths.heading_path
    from all_windows
    left join section_paths
        on
            all_windows.source_id = section_paths.source_id
            and all_windows.start_offset >= section_paths.section_start
            and (all_windows.start_offset < section_paths.section_end or section_paths.section_end is null)
    where not {{ vector_runtime.is_blank('all_windows.content') }}

),

chunk_windows as (

    select
        {{ vector_runtime.sha256_hex("concat(source_id, ':', chunk_index, ':', start_offset, ':', end_offset, ':', policy_version)")
            }} as chunk_id,
        source_id,
        source_type,
        source_ref_json,
        cast(chunk_index as integer) as chunk_index,
        cast(start_offset as integer) as start_offset,
        cast(end_offset as integer) as end_offset,
        {{ vector_runtime.as_text(
            "concat('{\"chunk_index\":', chunk_index, ',\"end_offset\":', end_offset,"
            ~ " ',\"start_offset\":', start_offset, '}')") }} as offsets_json,
        content,
        {{ vector_runtime.chunk_context('title', 'heading_path') }} as context,
        {{ vector_runtime.sha256_hex('content') }} as content_sha256,
        cast({{ vector_runtime.utf8_byte_count('content') }} as integer) as byte_count,
        concat(
            '{"chunk_size":', chunk_size, ',"max_chunks_per_source":', max_chunks_per_source,
            ',', method_json, '"overlap":', overlap, ',"version":', {{ vector_runtime.json_string('policy_version') }}, '}'
        ) as policy_json,
        policy_version,
        {{ vector_runtime.as_text("'dbt'") }} as managed_by,
        document_sha256
    from with_headings

)
{% endmacro %}
