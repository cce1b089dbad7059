{% macro ledger_upgrade_lines(members, dry_run) -%}
    {%- set lines = [] -%}
    {%- for member in members.values() if member.due -%}
        {%- set what = "rebuild" if member.rebuilt else "alter" if member.defaults else "mark" -%}
        {%- set reasons = member.reasons + (["sets the default of " ~ member.defaults | join(", ")] if member.defaults else []) -%}
        {%- set version = vector_runtime.ledger_declared_version(member.ledger) -%}
        {%- do lines.append(
            ("Would " ~ what if dry_run else what | capitalize) ~ " ledger " ~ member.ledger.name ~ ", version "
            ~ (member.shape.version ~ " to " if member.shape.version != version else "") ~ version ~ ": "
            ~ (reasons | join("; ") or "no column or constraint differs")) -%}
    {%- endfor -%}
    {%- set referring = members.values() | selectattr('rebuilt') | rejectattr('due') | map(attribute='ledger')
        | map(attribute='name') | list -%}
    {%- if referring -%}
        {%- do lines.append(
            ("Would rebuild" if dry_run else "Rebuild") ~ " with what refers to it: " ~ referring | join(", ")) -%}
    {%- endif -%}
    {{ return(lines) }}
{%- endmacro %}
