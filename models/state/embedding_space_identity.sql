with

declared_spaces as (

    select * from {{ ref('vector_runtime', 'embedding_space_input') }}

),

-- Canonical, as the whole identity is: keys in order, no blanks, those that are null left out.
with_preprocess_policy as (

    select
        *,
        concat(
            case
                when document_prefix is null then ''
                else concat(',"document_prefix":', {{ json_string('document_prefix') }})
            end,
            case
                when max_tokens is null then ''
                else concat(',"max_tokens":', max_tokens)
            end,
            case
                when pooling is null then ''
                else concat(',"pooling":', {{ json_string('pooling') }})
            end,
            case
                when query_prefix is null then ''
                else concat(',"query_prefix":', {{ json_string('query_prefix') }})
            end,
            case
                when template is null then ''
                else concat(',"template":', {{ json_string('template') }})
            end,
            case
                when truncation is null then ''
                else concat(',"truncation":', {{ json_string('truncation') }})
            end
        ) as policy_members
    from declared_spaces

),

with_policy_json as (

    select
        *,
        case
            when policy_members <> ''
                then concat('{', {{ substring_chars('policy_members', '1', char_count('policy_members')) }}, '}')
        end as preprocess_policy_json
    from with_preprocess_policy

),

with_identity_json as (

    select
        *,
        {{ space_identity_json() }} as identity_json
    from with_policy_json

),

with_digest as (

    select
        *,
        {{ sha256_hex('identity_json') }} as identity_sha256
    from with_identity_json

),

final as (

    select
        {{ uuid_from_digest('identity_sha256') }} as embedding_space_id,
        space_key,
        provider,
        model_name,
        model_tag,
        model_digest,
        dimensions,
        normalize_flag,
        distance_metric,
        preprocess_policy_json,
        transform_ref,
        description,
        is_active,
        price_per_million_tokens,
        identity_json
    from with_digest

)

select * from final
