with

pages as (

    select * from {{ ref('stg_page') }}

),

entities as (

    select * from {{ ref('stg_entity') }}

),

events as (

    select * from {{ ref('stg_event') }}

),

-- A new source is one import above and one line here.
unioned as (

    select * from pages
    union all
    select * from entities
    union all
    select * from events

),

final as (

    select
        source_id,
        source_type,
        source_ref_json,
        title,
        content,
        tags_json,
        updated_utc
    from unioned

)

select * from final
