with

declared_spaces as (

    select * from {{ ref('embedding_space_seed') }}

),

-- The canonical JSON of a space: keys in order, no blanks, null where absent. scripts/vector/contracts/identity.py
-- writes the same bytes.
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
        concat(
            '{"dimensions":', dimensions,
            ',"distance_metric":', {{ json_string('distance_metric') }},
            ',"model_digest":', {{ json_string_or_null('model_digest') }},
            ',"model_name":', {{ json_string('model_name') }},
            ',"model_tag":', {{ json_string_or_null('model_tag') }},
            ',"normalize_flag":', {{ boolean_json('normalize_flag') }},
            ',"preprocess_policy":', coalesce(preprocess_policy_json, 'null'),
            ',"provider":', {{ json_string('provider') }},
            ',"transform_ref":', {{ json_string_or_null('transform_ref') }},
            '}'
        ) as identity_json
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
        identity_json
    from with_digest

)

select * from final
