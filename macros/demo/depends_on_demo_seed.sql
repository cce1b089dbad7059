{#-
    dbt does not order a seed before the readers of a source over it. While the demo's seeds stand in for the
    analytics sources, a staging model names its seed with this comment, and only then.
-#}
{% macro depends_on_demo_seed(seed_name) -%}
    {%- if var('demo') -%} -- depends_on: {{ ref(seed_name) }} {%- endif -%}
{%- endmacro %}
