{% macro upgrade_ledgers(dry_run=false) -%}
    {%- if dry_run is not boolean -%}
        {% do exceptions.raise_compiler_error("dry_run is " ~ tojson(dry_run) ~ "; give true or false, without quotes.") %}
    {%- endif -%}
    {%- if execute and vector_runtime.ledger_upgrade_is_due() -%}
        {%- set members = vector_runtime.ledger_upgrade_plan() -%}
        {%- set due = members.values() | selectattr('due') | list -%}
        {%- set locked = due and not dry_run -%}
        {%- if locked -%}
            {#- Looked at again under the locks: another build may have done it. -#}
            {%- for member in members.values() if member.shape.columns -%}
                {% do vector_runtime.ledger_lock(member.ledger.relation) %}
            {%- endfor -%}
            {%- set members = vector_runtime.ledger_upgrade_plan() -%}
            {%- set due = members.values() | selectattr('due') | list -%}
        {%- endif -%}
        {%- for line in vector_runtime.ledger_upgrade_lines(members, dry_run) -%}
            {% do log(line, info=true) %}
        {%- endfor -%}
        {%- set refusals = [] -%}
        {%- for member in members.values() if member.shape.columns -%}
            {%- do refusals.extend(vector_runtime.ledger_refusals(member, members)) -%}
        {%- endfor -%}
        {%- if refusals -%} {% do exceptions.raise_compiler_error(refusals | join("\n")) %} {%- endif -%}
        {%- if due and not dry_run -%}
            {% do vector_runtime.ledger_upgrade(members) %}
        {%- elif locked %}
            {% do adapter.commit() %}
        {%- elif not due and flags.WHICH == 'run-operation' -%}
            {% do log("Every ledger has the shape of its contract.", info=true) %}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
