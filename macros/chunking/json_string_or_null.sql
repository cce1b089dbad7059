{% macro json_string_or_null(text) -%}
    case when {{ text }} is null then 'null' else {{ vector_runtime.json_string(text) }} end
{%- endmacro %}
