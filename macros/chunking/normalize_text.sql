{% macro normalize_text(text) -%}
    {%- set line_feed = character(10) -%}
    {%- set carriage_return = character(13) -%}
    {%- set without_crlf = replace_text(text, 'concat(' ~ carriage_return ~ ', ' ~ line_feed ~ ')', line_feed) -%}
    {{ replace_text(without_crlf, carriage_return, line_feed) }}
{%- endmacro %}
