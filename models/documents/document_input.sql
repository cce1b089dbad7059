with

-- A new source is one more model here, with the columns of a document in any order.
final as (

    {{ documents_by_name([
        ref('vector_runtime', 'stg_page'), ref('vector_runtime', 'stg_entity'), ref('vector_runtime', 'stg_event')
    ]) }}

)

select * from final
