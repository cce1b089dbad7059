{#-
    A text as a JSON string, byte for byte as Python's json.dumps(text, ensure_ascii=False) for texts without
    control characters other than newline, carriage return and tab.
-#}
{% macro json_string(text) -%}
    {%- set escapes = [
        ("'\\'", "'\\\\'"), ("'\"'", "'\\\"'"),
        (character(10), "'\\n'"), (character(13), "'\\r'"), (character(9), "'\\t'")
    ] -%}
    {%- set escaped = namespace(sql=text) -%}
    {%- for old, new in escapes -%}
        {%- set escaped.sql = replace_text(escaped.sql, old, new) -%}
    {%- endfor -%}
    concat('"', {{ escaped.sql }}, '"')
{%- endmacro %}
