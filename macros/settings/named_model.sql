{% macro named_model(name) -%}
    {%- set parts = name.split('.') -%}
    {{ return(ref(parts[0], parts[1]) if parts | length == 2 else ref(project_name, name)) }}
{%- endmacro %}
