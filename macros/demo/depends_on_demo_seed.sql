{% macro depends_on_demo_seed(seed_name) -%}
    {%- if vector_runtime.demo_enabled() -%} -- depends_on: {{ ref('vector_runtime', seed_name) }} {%- endif -%}
{%- endmacro %}
