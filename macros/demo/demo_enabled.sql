{% macro demo_enabled() -%}
    {{ return(var('demo', project_name == 'vector_runtime')) }}
{%- endmacro %}
