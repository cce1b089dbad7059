with

final as (

    {{ rows_by_name(setting_model('chunk_policies', 'chunk_policy'), [
        {'name': 'policy_version', 'type': 'text', 'length': 100},
        {'name': 'source_type', 'type': 'text', 'length': 100},
        {'name': 'chunk_size', 'type': 'integer'},
        {'name': 'overlap', 'type': 'integer', 'default': '0'},
        {'name': 'max_chunks_per_source', 'type': 'integer', 'default': '1000'},
        {'name': 'is_active', 'type': 'boolean', 'default': "'true'"},
        {'name': 'description', 'type': 'text', 'length': 1000, 'default': 'null'},
        {'name': 'method', 'type': 'text', 'length': 20, 'default': 'null'},
        {'name': 'tokenizer', 'type': 'text', 'length': 200, 'default': 'null'},
        {'name': 'payload_format', 'type': 'text', 'length': 20, 'default': 'null'},
        {'name': 'json_path', 'type': 'text', 'length': 1000, 'default': 'null'},
        {'name': 'value_format', 'type': 'text', 'length': 20, 'default': 'null'}
    ]) }}

)

select * from final
