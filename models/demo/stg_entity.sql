{{ config(enabled=demo_models_enabled()) }}
{{ depends_on_demo_seed('entity') }}
with

source as (

    select
        {{ as_text('entity_id') }} as entity_id,
        {{ as_text('name') }} as name,
        {{ as_text('entity_type') }} as entity_type,
        {{ as_text('attributes_json') }} as attributes_json,
        updated_utc
    from {{ source('analytics', 'entity') }}

),

described as (

    select
        *,
        {{ json_attributes_text('attributes_json') }} as attributes_text
    from source

),

final as (

    select
        concat('entity:', entity_id) as source_id,
        {{ as_text("'entity'") }} as source_type,
        concat('{"entity_id":', {{ json_string('entity_id') }}, ',"table":"entity"}') as source_ref_json,
        name as title,
        concat(
            coalesce(name, ''), ' (', coalesce(replace(entity_type, '_', ' '), ''), ')',
            case when attributes_text is null then '' else concat('. ', attributes_text) end,
            '.'
        ) as content,
        concat('{"entity_type":', {{ json_string_or_null('entity_type') }}, '}') as tags_json,
        updated_utc
    from described

)

select * from final
