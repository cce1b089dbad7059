{% macro ledger_graph() -%}
    {%- set found = {} -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.config.get('materialized') == 'ledger' -%}
        {%- do found.update({node.unique_id: {
            'unique_id': node.unique_id,
            'name': node.name,
            'relation': api.Relation.create(
                database=node.database, schema=node.schema, identifier=node.alias, type='table'),
            'columns': node.columns,
            'constraints': vector_runtime.ledger_resolved_constraints(node),
            'config': node.config,
        }}) -%}
    {%- endfor -%}
    {%- set ordered = [] -%}
    {#- Each round adds at least one, as no foreign keys go round in a circle. -#}
    {%- for round in found -%}
        {%- for ledger in found.values() if ledger not in ordered -%}
            {%- set missing = ledger.constraints | selectattr('parent_id', 'defined') | map(attribute='parent_id')
                | select('in', found.keys() | list) | reject('equalto', ledger.unique_id)
                | reject('in', ordered | map(attribute='unique_id') | list) | list -%}
            {%- if not missing -%} {%- do ordered.append(ledger) -%} {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(ordered) }}
{%- endmacro %}
