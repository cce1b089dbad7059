{% macro ledger_strangers(member, members) -%}
    {%- set known = [] -%}
    {%- for other in members.values() -%}
        {%- do known.append((other.ledger.relation.schema ~ '.' ~ other.ledger.relation.identifier) | lower) -%}
    {%- endfor -%}
    {%- set found = [] -%}
    {%- for reference in member.shape.references if reference.table | lower not in known -%}
        {%- do found.append(
            "Ledger " ~ member.ledger.name ~ " must be rebuilt, and the foreign key " ~ reference.name ~ " of " ~ reference.table
            ~ ", which is no ledger of this project, refers to it. Drop that key or table, and make it again after the build;"
            ~ " nothing was changed.") -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
