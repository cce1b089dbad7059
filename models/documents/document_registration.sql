{#- A run of blanks this long makes a document one that may have blank windows; policies of shorter steps, always. -#}
{%- set blank_run = 64 -%}
with

all_documents as (

    select
        *,
        chunk_size - overlap as step
    from {{ ref('vector_runtime', 'document') }}

),

-- Few documents have a window without a visible character, and only of these the windows are counted one by one. Such a
-- window is a step long at least, or the last one.
documents as (

    select * from all_documents
    where
        method = 'characters'
        and window_count > 1
        and (
            step < {{ blank_run }}
            or {{ has_blank_run('content', blank_run) }}
            or {{ is_blank(substring_chars('content', '(chunk_count - 1) * step', 'chunk_size')) }}
        )

),

{{ window_ctes() }},

paragraph_documents as (

    select * from all_documents
    where
        method = 'paragraphs'
        and content_error is null

),

{{ paragraph_ctes() }},

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
        case when {{ is_blank('content') }} then 1 else 0 end as is_blank
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

final as (

    select
        source_id,
        source_type,
        source_ref_json,
        title,
        content_sha256,
        cast(case when method = 'extract' then null else char_count end as integer) as char_count,
        policy_version,
        cast(found_chunk_count - coalesce(blank_count, 0) as integer) as chunk_count,
        {{ boolean_of(
            'found_window_count > max_chunks_per_source and not '
            ~ is_blank(substring_chars('content', 'capped_from', 'char_count'))) }} as chunk_capped_flag,
        cast(uncovered_count as integer) as blank_char_count,
        tags_json,
        {{ as_text(
            "case when coalesce(content_error, metadata_error) is not null then 'error'"
            ~ " when method = 'extract' then 'registered' else 'indexed' end") }} as status,
        {{ as_text('coalesce(content_error, metadata_error)') }} as error_message,
        {{ as_text("'dbt'") }} as managed_by,
        source_updated_utc,
        {{ current_utc() }} as last_indexed_utc,
        {{ boolean_of("content_error is null and method = 'extract'") }} as extract_flag
    from counted

)

select * from final
