{% macro kept_policies() -%}
    {#- Former default policies, and the one that has taken the place of each. -#}
    {%- set successors = {
        'window-800-v1': 'paragraphs-800-v1',
        'page-700-v1': 'paragraphs-800-v1',
        'page-non-latin-240-v1': 'paragraphs-non-latin-240-v1'
    } -%}
    {%- set kept = {} -%}
    {#- The registry is built later, of what the policies cut: it is asked for what it has, and no ref. -#}
    {%- if execute and flags.WHICH in ['run', 'build'] and var('keep_chunk_policies') and not var('chunk_policies') -%}
        {%- set node = graph.nodes['model.vector_runtime.source_registry'] -%}
        {%- set registry = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- if registry is not none -%}
            {%- set query -%}
                select distinct policy_version
                from {{ registry }}
                where
                    managed_by = 'dbt'
                    and retired_utc is null
                    and policy_version in ('{{ successors | join("', '") }}')
            {%- endset -%}
            {%- for row in run_query(query).rows -%} {%- do kept.update({row[0]: successors[row[0]]}) -%} {%- endfor -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(kept) }}
{%- endmacro %}
