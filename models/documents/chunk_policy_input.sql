{%- set kept = kept_policies() -%}
with

policies as (

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

),

-- Of an earlier version: what it has cut stays as it is.
final as (

    select
        policies.policy_version,
        policies.source_type,
        policies.chunk_size,
        policies.overlap,
        policies.max_chunks_per_source,
        {{ boolean_of(
            "former.policy_version = policies.policy_version or ("
            ~ is_true('policies.is_active') ~ " and former.policy_version is null)") }} as is_active,
        policies.description,
        policies.method,
        policies.tokenizer,
        policies.payload_format,
        policies.json_path,
        policies.value_format
    from policies
    left join policies as former
        on
            policies.source_type = former.source_type
            and (
                1 = 0
                {%- for version, successor in kept.items() %}
                or (
                    former.policy_version = '{{ version }}'
                    and exists (
                        select 1
                        from policies as successor
                        where successor.policy_version = '{{ successor }}' and {{ is_true('successor.is_active') }}
                    )
                )
                {%- endfor %}
            )

)

select * from final
