{{ config(enabled=demo_models_enabled()) }}
{{ depends_on_demo_seed('event') }}
with

source as (

    select
        {{ as_text('event_id') }} as event_id,
        {{ iso_date('event_date') }} as event_date,
        {{ as_text('event_type') }} as event_type,
        {{ as_text('place') }} as place,
        {{ as_text('participants') }} as participants,
        {{ as_text('summary') }} as summary,
        updated_utc
    from {{ source('analytics', 'event') }}

),

final as (

    select
        concat('event:', event_id) as source_id,
        {{ as_text("'event'") }} as source_type,
        concat('{"event_id":', {{ json_string('event_id') }}, ',"table":"event"}') as source_ref_json,
        concat(event_date, ' ', replace(event_type, '_', ' '), ', ', place) as title,
        concat(
            event_date, ', ', place, ' (', replace(event_type, '_', ' '), '). ',
            summary, ' Participants: ', participants, '.'
        ) as content,
        concat('{"event_type":', {{ json_string_or_null('event_type') }}, '}') as tags_json,
        updated_utc
    from source

)

select * from final
