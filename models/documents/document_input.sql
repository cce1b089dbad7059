with

final as (

    {{ documents_by_name(document_models()) }}

)

select * from final
