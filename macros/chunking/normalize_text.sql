{% macro normalize_text(text) -%}
    {%- set line_feed = vector_runtime.character(10) -%}
    {%- set carriage_return = vector_runtime.character(13) -%}
    {%- set without_crlf = vector_runtime.replace_text(text, 'concat(' ~ carriage_return ~ ', ' ~ line_feed ~ ')', line_feed) -%}
    {{ vector_runtime.replace_text(without_crlf, carriage_return, line_feed) }}
{%- endmacro %}
