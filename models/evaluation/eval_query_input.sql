with

final as (

    {{ rows_by_name(setting_model('eval_queries', 'eval_query', demo_only=true), [
        {'name': 'query_id', 'type': 'text', 'length': 100},
        {'name': 'query_text', 'type': 'text', 'length': 4000},
        {'name': 'query_set', 'type': 'text', 'length': 100},
        {'name': 'query_kind', 'type': 'text', 'length': 100, 'default': 'null'}
    ]) }}

)

select * from final
