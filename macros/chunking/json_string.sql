{#-
    A text as a JSON string, byte for byte as Python's json.dumps(text, ensure_ascii=False) for texts without
    control characters other than newline, carriage return and tab.
-#}
{% macro json_string(text) -%}
    concat(
        '"',
        replace(replace(replace(replace(replace({{ text }}, '\', '\\'), '"', '\"'),
            {{ character(10) }}, '\n'), {{ character(13) }}, '\r'), {{ character(9) }}, '\t'),
        '"'
    )
{%- endmacro %}
