{% macro registration_ctes(known=false) %}
{#- A run of blanks this long makes a document one that may have blank windows; policies of shorter steps, always. -#}
{%- set blank_run = 64 -%}
{%- set is_capped -%}
    found_window_count > max_chunks_per_source
    and not {{ vector_runtime.is_blank(vector_runtime.substring_chars('content', 'capped_from', 'char_count')) }}
{%- endset -%}
{%- set counts = {
    'chunk_count': 'cast(found_chunk_count - coalesce(blank_count, 0) as integer)',
    'chunk_capped_flag': vector_runtime.boolean_of(is_capped),
    'blank_char_count': 'cast(uncovered_count as integer)'
} -%}
-- Few documents have a window without a visible character, and only of these the windows are counted one by one. Such a
-- window is a step long at least, or the last one.
documents as (

    select * from all_documents
    where
        method = 'characters'
        {{ 'and known_source_id is null' if known }}
        and window_count > 1
        and (
            step < {{ blank_run }}
            or {{ vector_runtime.has_blank_run('content', blank_run) }}
            or {{ vector_runtime.is_blank(vector_runtime.substring_chars('content', '(chunk_count - 1) * step', 'chunk_size')) }}
        )

),

{{ vector_runtime.window_ctes() }},

paragraph_documents as (

    select * from all_documents
    where
        method = 'paragraphs'
        {{ 'and known_source_id is null' if known }}
        and content_error is null

),

{{ vector_runtime.paragraph_ctes() }},

all_windows as (

    select
        source_id,
        window_count,
        chunk_index,
        start_offset,
        end_offset,
        content
    from windows
    union all
    select
        source_id,
        window_count,
        chunk_index,
        start_offset,
        end_offset,
        content
    from paragraph_windows

),

marked as (

    select
        source_id,
        window_count,
        chunk_index,
        start_offset,
        end_offset,
        case when {{ vector_runtime.is_blank('content') }} then 1 else 0 end as is_blank
    from all_windows

),

-- Where the chunks before this one end. A window may end before the one before it.
placed as (

    select
        *,
        coalesce(max(case when is_blank = 0 then end_offset end) over (
            partition by source_id
            order by chunk_index
            rows between unbounded preceding and 1 preceding
        ), 0) as covered_until
    from marked

),

cut_counts as (

    select
        source_id,
        max(window_count) as window_count,
        count(*) as cut_count,
        sum(is_blank) as blank_count,
        max(end_offset) as end_offset,
        max(end_offset) - sum(case
            when is_blank = 1 or end_offset <= covered_until then 0
            when start_offset > covered_until then end_offset - start_offset
            else end_offset - covered_until
        end) as uncovered_count
    from placed
    group by source_id

),

-- Where the part begins that the cap leaves in no window; of characters that is known without a cut.
counted as (

    select
        all_documents.*,
        cut_counts.blank_count,
        nullif(cut_counts.uncovered_count, 0) as uncovered_count,
        coalesce(all_documents.window_count, cut_counts.window_count) as found_window_count,
        coalesce(all_documents.chunk_count, cut_counts.cut_count) as found_chunk_count,
        case
            when all_documents.method = 'paragraphs' then cut_counts.end_offset
            else all_documents.max_chunks_per_source * all_documents.step
        end as capped_from
    from all_documents
    left join cut_counts
        on all_documents.source_id = cut_counts.source_id

),

registrations as (

    select
        source_id,
        source_type,
        source_ref_json,
        title,
        content_sha256,
        cast(case when method = 'extract' then null else char_count end as integer) as char_count,
        policy_version,
        {%- for name, value in counts.items() %}
        {{ 'case when known_source_id is null then ' ~ value ~ ' else known_' ~ name ~ ' end' if known else value }} as {{ name }},
        {%- endfor %}
        tags_json,
        {{ vector_runtime.as_text(
            "case when coalesce(content_error, metadata_error) is not null then 'error'"
            ~ " when method = 'extract' then 'registered' else 'indexed' end") }} as status,
        {{ vector_runtime.as_text('coalesce(content_error, metadata_error)') }} as error_message,
        {{ vector_runtime.as_text("'dbt'") }} as managed_by,
        source_updated_utc,
        {{ current_utc() }} as last_indexed_utc,
        {{ vector_runtime.boolean_of("content_error is null and method = 'extract'") }} as extract_flag,
        case when method = 'extract' then null else document_sha256 end as document_sha256
    from counted

)
{% endmacro %}
