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
        window_count > 1
        and (
            step < {{ blank_run }}
            or {{ has_blank_run('content', blank_run) }}
            or {{ is_blank(substring_chars('content', '(chunk_count - 1) * step', 'chunk_size')) }}
        )

),

{{ window_ctes() }},

marked as (

    select
        source_id,
        chunk_index,
        start_offset,
        end_offset,
        case when {{ is_blank('content') }} then 1 else 0 end as is_blank
    from windows

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

blanks as (

    select
        source_id,
        sum(is_blank) as window_count,
        max(end_offset) - sum(case
            when is_blank = 1 or end_offset <= covered_until then 0
            when start_offset > covered_until then end_offset - start_offset
            else end_offset - covered_until
        end) as char_count
    from placed
    group by source_id
    having sum(is_blank) > 0

),

final as (

    select
        all_documents.source_id,
        all_documents.source_type,
        all_documents.source_ref_json,
        all_documents.title,
        all_documents.content_sha256,
        cast(case when all_documents.method = 'extract' then null else all_documents.char_count end as integer)
            as char_count,
        all_documents.policy_version,
        cast(all_documents.chunk_count - coalesce(blanks.window_count, 0) as integer) as chunk_count,
        {{ boolean_of(
            'all_documents.window_count > all_documents.max_chunks_per_source and not '
            ~ is_blank(substring_chars(
                'all_documents.content', 'all_documents.max_chunks_per_source * all_documents.step',
                'all_documents.char_count'))) }} as chunk_capped_flag,
        cast(blanks.char_count as integer) as blank_char_count,
        all_documents.tags_json,
        {{ as_text(
            "case when coalesce(all_documents.content_error, all_documents.metadata_error) is not null then 'error'"
            ~ " when all_documents.method = 'extract' then 'registered' else 'indexed' end") }} as status,
        {{ as_text('coalesce(all_documents.content_error, all_documents.metadata_error)') }} as error_message,
        {{ as_text("'dbt'") }} as managed_by,
        all_documents.source_updated_utc,
        {{ current_utc() }} as last_indexed_utc,
        {{ boolean_of("all_documents.content_error is null and all_documents.method = 'extract'") }} as extract_flag
    from all_documents
    left join blanks
        on all_documents.source_id = blanks.source_id

)

select * from final
