{% macro demo_models_enabled() -%}
    {{ return(vector_runtime.demo_enabled() or var('analytics_schema') != '') }}
{%- endmacro %}
