with

final as (

    {{ rows_by_name(setting_model('publish_thresholds', 'publish_threshold', demo_only=true), [
        {'name': 'query_set', 'type': 'text', 'length': 100},
        {'name': 'search_method', 'type': 'text', 'length': 100},
        {'name': 'metric', 'type': 'text', 'length': 100},
        {'name': 'min_score', 'type': 'double'},
        {'name': 'max_loss', 'type': 'double', 'default': 'null'}
    ]) }}

)

select * from final
