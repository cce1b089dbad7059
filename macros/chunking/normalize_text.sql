{#-
    The one normalisation of source texts, version `newline-1`: CRLF and lone CR become LF; nothing else changes.
    scripts/vector/chunking.py has the same in Python.
-#}
{% macro normalize_text(text) -%}
    replace(
        replace({{ text }}, concat({{ character(13) }}, {{ character(10) }}), {{ character(10) }}),
        {{ character(13) }},
        {{ character(10) }}
    )
{%- endmacro %}
