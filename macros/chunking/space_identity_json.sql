{% macro space_identity_json() -%}
    concat(
        '{"dimensions":', dimensions,
        ',"distance_metric":', {{ vector_runtime.json_string('distance_metric') }},
        ',"model_digest":', {{ vector_runtime.json_string_or_null('model_digest') }},
        ',"model_name":', {{ vector_runtime.json_string('model_name') }},
        ',"model_tag":', {{ vector_runtime.json_string_or_null('model_tag') }},
        ',"normalize_flag":', {{ vector_runtime.boolean_json('normalize_flag') }},
        ',"preprocess_policy":', coalesce(preprocess_policy_json, 'null'),
        ',"provider":', {{ vector_runtime.json_string('provider') }},
        ',"transform_ref":', {{ vector_runtime.json_string_or_null('transform_ref') }},
        '}'
    )
{%- endmacro %}
