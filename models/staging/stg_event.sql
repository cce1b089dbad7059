{{ depends_on_demo_seed('event') }}
with

source as (

    select * from {{ source('analytics', 'event') }}

),

final as (

    select
        concat('event:', event_id) as source_id,
        'event' as source_type,
        concat('{"event_id":', {{ json_string('event_id') }}, ',"table":"event"}') as source_ref_json,
        concat(cast(event_date as {{ dbt.type_string() }}), ' ', replace(event_type, '_', ' '), ', ', place) as title,
        concat(
            cast(event_date as {{ dbt.type_string() }}), ', ', place, ' (', replace(event_type, '_', ' '), '). ',
            summary, ' Participants: ', participants, '.'
        ) as content,
        concat('{"event_type":', {{ json_string_or_null('event_type') }}, '}') as tags_json,
        updated_utc
    from source

)

select * from final
