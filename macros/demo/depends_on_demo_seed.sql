{% macro depends_on_demo_seed(seed_name) -%}
    {%- if var('demo') -%} -- depends_on: {{ ref(seed_name) }} {%- endif -%}
{%- endmacro %}
