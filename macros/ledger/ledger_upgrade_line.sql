{% macro ledger_upgrade_line(member, dry_run) -%}
    {%- set version = ledger_declared_version(member.ledger) -%}
    {%- set what = "rebuild" if member.rebuilt else "mark" -%}
    {%- set steps = ("version " ~ member.shape.version ~ " to " ~ version) if member.shape.version != version
        else ("version " ~ version) -%}
    {%- set why = member.reasons | join("; ") or ("no column or constraint differs" if member.due else "it refers to one of these") -%}
    {{ return(("Would " ~ what if dry_run else what | capitalize) ~ " ledger " ~ member.ledger.name ~ ", " ~ steps ~ ": " ~ why) }}
{%- endmacro %}
