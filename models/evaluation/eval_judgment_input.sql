with

final as (

    {{ rows_by_name(setting_model('eval_judgments', 'eval_judgment', demo_only=true), [
        {'name': 'query_id', 'type': 'text', 'length': 100},
        {'name': 'source_id', 'type': 'text', 'length': 400},
        {'name': 'relevance', 'type': 'integer'}
    ]) }}

)

select * from final
