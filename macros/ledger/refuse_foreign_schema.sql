{% macro refuse_foreign_schema() -%}
    {%- set foreign = var('foreign_schemas') | map('lower') | list -%}
    {%- for node in vector_runtime.runtime_nodes() if node.schema | lower in foreign -%}
        {% do exceptions.raise_compiler_error(
            node.name ~ " would be built into the schema " ~ node.schema ~ ", which belongs to another runtime (var"
            ~ " foreign_schemas). Give the vector runtime a schema of its own, such as vector.") %}
    {%- endfor -%}
{%- endmacro %}
