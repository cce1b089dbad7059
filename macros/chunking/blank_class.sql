{% macro blank_class() -%}
    {{ vector_runtime.character_class(vector_runtime.blank_ranges()) }}
{%- endmacro %}
