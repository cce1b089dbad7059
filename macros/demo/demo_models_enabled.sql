{% macro demo_models_enabled() -%}
    {{ return(demo_enabled() or var('analytics_schema') != '') }}
{%- endmacro %}
