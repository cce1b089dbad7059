{% macro ledger_upgrade_plan() -%}
    {%- set members = {} -%}
    {%- set referring = [] -%}
    {%- set ledgers = vector_runtime.ledger_graph() -%}
    {%- set worded = vector_runtime.ledger_worded_defaults(ledgers) -%}
    {%- set built = [] -%}
    {%- for relation in ledgers | map(attribute='relation') -%}
        {%- set existing = adapter.get_relation(relation.database, relation.schema, relation.identifier) -%}
        {%- if existing is not none and existing.is_table -%} {%- do built.append(relation) -%} {%- endif -%}
    {%- endfor -%}
    {%- set catalogue = vector_runtime.ledger_catalogue_rows(built) if built else [] -%}
    {%- for ledger in ledgers -%}
        {%- set relation = ledger.relation -%}
        {%- set declared = vector_runtime.ledger_declared_version(ledger) -%}
        {%- set there = relation in built -%}
        {%- set shape = vector_runtime.ledger_shape(relation, catalogue[built.index(relation)]) if there
            else {'version': declared, 'columns': {}} -%}
        {%- if shape.version > declared -%}
            {% do exceptions.raise_compiler_error(
                "Ledger " ~ relation ~ " is of version " ~ shape.version ~ ", and this release knows version " ~ declared
                ~ ". A later release built it: install that one; nothing was changed.") %}
        {%- endif -%}
        {%- set conversion = vector_runtime.ledger_conversion(ledger, shape) if there else none -%}
        {%- set reasons = vector_runtime.ledger_differences(ledger, shape) if there else [] -%}
        {%- if there and conversion.converted -%}
            {%- do reasons.append("converts " ~ conversion.converted | unique | join(", ")) -%}
        {%- endif -%}
        {%- set defaults = vector_runtime.ledger_other_defaults(ledger, shape, worded) if there else [] -%}
        {%- set with_parent = there and vector_runtime.ledger_is_rebuilt_with_parent()
            and (relation.schema ~ '.' ~ relation.identifier) | lower in referring -%}
        {%- if reasons or with_parent -%}
            {%- do referring.extend(shape.references | map(attribute='table') | map('lower') | list) -%}
        {%- endif -%}
        {%- do members.update({ledger.unique_id: {
            'ledger': ledger,
            'shape': shape,
            'conversion': conversion,
            'reasons': reasons,
            'defaults': defaults,
            'due': reasons | length > 0 or defaults | length > 0 or shape.version < declared,
            'rebuilt': reasons | length > 0 or with_parent,
        }}) -%}
    {%- endfor -%}
    {{ return(members) }}
{%- endmacro %}
