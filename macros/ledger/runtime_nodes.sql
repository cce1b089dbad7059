{% macro runtime_nodes() -%}
    {%- set nodes = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.package_name == 'vector_runtime'
            and node.resource_type in ('model', 'seed') and node.unique_id in selected_resources -%}
            {%- do nodes.append(node) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(nodes) }}
{%- endmacro %}
