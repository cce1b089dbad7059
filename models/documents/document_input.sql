with

-- A new source is one more model here, with the columns of a document in any order.
final as (

    {{ documents_by_name([ref('stg_page'), ref('stg_entity'), ref('stg_event')]) }}

)

select * from final
