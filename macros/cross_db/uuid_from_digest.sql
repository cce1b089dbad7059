{% macro uuid_from_digest(digest) -%}
    concat(
        substring({{ digest }}, 1, 8), '-', substring({{ digest }}, 9, 4), '-', substring({{ digest }}, 13, 4), '-',
        substring({{ digest }}, 17, 4), '-', substring({{ digest }}, 21, 12)
    )
{%- endmacro %}
