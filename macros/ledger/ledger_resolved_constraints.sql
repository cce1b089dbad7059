{% macro ledger_resolved_constraints(node) -%}
    {%- set resolved = [] -%}
    {%- for constraint in node.constraints -%}
        {%- if constraint.type == 'foreign_key' -%}
            {#- The graph has the text of the yml, ref('<package>', '<name>'). -#}
            {%- set names = modules.re.findall('[\'"]([^\'"]+)[\'"]', constraint.to) -%}
            {%- set parents = [] -%}
            {%- for other in graph.nodes.values()
                if other.resource_type == 'model' and other.name == names[-1]
                and (names | length == 1 or other.package_name == names[0]) -%}
                {%- do parents.append(other) -%}
            {%- endfor -%}
            {%- if not parents -%}
                {% do exceptions.raise_compiler_error(
                    "Ledger " ~ node.name ~ ": " ~ constraint.name ~ " refers to " ~ constraint.to ~ ", which is no model.") %}
            {%- endif -%}
            {%- do resolved.append(dict(
                constraint, to=parents[0].relation_name, parent_id=parents[0].unique_id,
                parent_identifier=parents[0].alias)) -%}
        {%- else -%}
            {%- do resolved.append(constraint) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(resolved) }}
{%- endmacro %}
