{% macro space_identity_json() -%}
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
    )
{%- endmacro %}
