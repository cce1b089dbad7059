{% macro refuse_foreign_schema() -%}
    {%- if execute and target.schema | lower in var('foreign_schemas') | map('lower') -%}
        {% do exceptions.raise_compiler_error(
            "The target's schema is " ~ target.schema ~ ", which belongs to another runtime (var foreign_schemas)."
            ~ " Give the vector runtime a schema of its own, such as vector.") %}
    {%- endif -%}
{%- endmacro %}
