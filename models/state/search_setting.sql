with

final as (

    select cast({{ dbt.string_literal(var('search_language')) }} as nvarchar(50)) as search_language

)

select * from final
