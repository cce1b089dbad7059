with

final as (

    {{ rows_by_name(setting_model('embedding_spaces', 'embedding_space_seed'), [
        {'name': 'space_key', 'type': 'text', 'length': 200},
        {'name': 'provider', 'type': 'text', 'length': 50},
        {'name': 'model_name', 'type': 'text', 'length': 200},
        {'name': 'model_tag', 'type': 'text', 'length': 100, 'default': 'null'},
        {'name': 'model_digest', 'type': 'text', 'length': 100, 'default': 'null'},
        {'name': 'dimensions', 'type': 'integer'},
        {'name': 'normalize_flag', 'type': 'boolean', 'default': "'true'"},
        {'name': 'distance_metric', 'type': 'text', 'length': 20, 'default': "'cosine'"},
        {'name': 'document_prefix', 'type': 'text', 'length': 400, 'default': 'null'},
        {'name': 'query_prefix', 'type': 'text', 'length': 400, 'default': 'null'},
        {'name': 'template', 'type': 'text', 'length': 400, 'default': 'null'},
        {'name': 'truncation', 'type': 'text', 'length': 20, 'default': 'null'},
        {'name': 'max_tokens', 'type': 'integer', 'default': 'null'},
        {'name': 'pooling', 'type': 'text', 'length': 20, 'default': 'null'},
        {'name': 'transform_ref', 'type': 'text', 'length': 200, 'default': 'null'},
        {'name': 'description', 'type': 'text', 'length': 1000, 'default': 'null'},
        {'name': 'is_active', 'type': 'boolean', 'default': "'true'"},
        {'name': 'price_per_million_tokens', 'type': 'double', 'default': 'null'}
    ]) }}

)

select * from final
