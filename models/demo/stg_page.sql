{{ config(enabled=demo_models_enabled()) }}
{{ depends_on_demo_seed('page') }}
with

source as (

    select
        {{ as_text('page_id') }} as page_id,
        {{ as_text('payload_json') }} as payload_json,
        fetched_utc
    from {{ source('analytics', 'page') }}

),

parsed as (

    select
        page_id,
        payload_json,
        fetched_utc,
        {{ json_text('payload_json', '$.title') }} as title,
        {{ json_text('payload_json', '$.body.text') }} as body_text,
        {{ json_text('payload_json', '$.lang') }} as language,
        {{ json_scalar_array('payload_json', '$.tags') }} as tags_array_json
    from source

),

final as (

    select
        concat('page:', page_id) as source_id,
        -- A type of its own, for a chunk policy of its own: the default model has a token a character for these.
        {{ as_text("case when language in ('ar', 'hi', 'ja', 'ru', 'zh') then 'page_non_latin' else 'page' end") }}
            as source_type,
        concat('{"page_id":', {{ json_string('page_id') }}, ',"table":"page"}') as source_ref_json,
        title,
        case
            when body_text is null or title is null then body_text
            else concat(title, {{ character(10) }}, {{ character(10) }}, body_text)
        end as content,
        concat(
            '{"lang":', {{ json_string_or_null('language') }},
            ',"tags":', tags_array_json, '}'
        ) as tags_json,
        fetched_utc as updated_utc
    from parsed

)

select * from final
