with

documents as (

    select * from {{ ref('document') }}

),

final as (

    select
        source_id,
        source_type,
        source_ref_json,
        title,
        content_sha256,
        cast(char_count as integer) as char_count,
        policy_version,
        chunk_count,
        {{ boolean_of('window_count > max_chunks_per_source') }} as chunk_capped_flag,
        tags_json,
        {{ as_text("case when content_error is null then 'indexed' else 'error' end") }} as status,
        {{ as_text('content_error') }} as error_message,
        {{ as_text("'dbt'") }} as managed_by,
        source_updated_utc,
        {{ current_utc() }} as last_indexed_utc
    from documents

)

select * from final
