{% macro upgrade_ledgers(dry_run=false) -%}
    {%- if dry_run is not boolean -%}
        {% do exceptions.raise_compiler_error("dry_run is " ~ tojson(dry_run) ~ "; give true or false, without quotes.") %}
    {%- endif -%}
    {%- if execute and ledger_upgrade_is_due() -%}
        {%- set members = ledger_upgrade_plan() -%}
        {%- set due = members.values() | selectattr('due') | list -%}
        {%- if due and not dry_run -%}
            {#- Looked at again under the locks: another build may have done it. -#}
            {%- for member in members.values() if member.shape.columns -%}
                {% do ledger_lock(member.ledger.relation) %}
            {%- endfor -%}
            {%- set members = ledger_upgrade_plan() -%}
            {%- set due = members.values() | selectattr('due') | list -%}
        {%- endif -%}
        {%- for member in members.values() if member.due or member.rebuilt -%}
            {% do log(ledger_upgrade_line(member, dry_run), info=true) %}
        {%- endfor -%}
        {%- set refusals = [] -%}
        {%- for member in members.values() if member.shape.columns -%}
            {%- do refusals.extend(ledger_refusals(member, members)) -%}
        {%- endfor -%}
        {%- if refusals -%} {% do exceptions.raise_compiler_error(refusals | join("\n")) %} {%- endif -%}
        {%- if due and not dry_run -%}
            {% do ledger_upgrade(members) %}
        {%- elif not due and flags.WHICH == 'run-operation' -%}
            {% do log("Every ledger has the shape of its contract.", info=true) %}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
