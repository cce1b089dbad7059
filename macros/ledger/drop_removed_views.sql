{% macro drop_removed_views() -%}
    {%- if execute and flags.WHICH in ['run', 'build'] and vector_runtime.runtime_nodes() -%}
        {%- set taken = graph.nodes.values() | map(attribute='alias') | list -%}
        {%- set home = graph.nodes['model.vector_runtime.embedding'] -%}
        {%- for name in [
            'space_drift', 'eval_rank_overlap', 'retrieval_quality_trend', 'eval_difference', 'eval_pair',
            'eval_resample', 'near_duplicate_chunk'
        ] if name not in taken -%}
            {%- set relation = adapter.get_relation(home.database, home.schema, name) -%}
            {%- if relation is not none and relation.is_view -%}
                {% do adapter.drop_relation(relation) %}
                {% do log("Dropped the view " ~ name ~ ", which this version has no more.", info=true) %}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
