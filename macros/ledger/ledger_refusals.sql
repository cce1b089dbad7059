{% macro ledger_refusals(member, members) -%}
    {%- set ledger = member.ledger -%}
    {%- set fit = vector_runtime.ledger_converted_sql(ledger, member.shape, member.conversion, 'try_cast') -%}
    {%- set refused = "Ledger " ~ ledger.name ~ " cannot be brought into the shape of its contract: " -%}
    {%- set found = [] -%}
    {%- set queries = [] -%}
    {%- if member.rebuilt -%}
        {%- do found.extend(vector_runtime.ledger_strangers(member, members)) -%}
    {%- endif -%}
    {%- for column in ledger.columns.values() if member.reasons and column.name not in member.conversion.names
        and not vector_runtime.ledger_is_nullable(column) -%}
        {%- if run_query('select count(*) from ' ~ ledger.relation.render()).rows[0][0] -%}
            {%- do found.append(
                refused ~ "the column " ~ column.name
                ~ " is new, and may not be null. Declare a conversion that says what it is (docs/operations.md);"
                ~ " nothing was changed.") -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if member.reasons -%}
        {%- do queries.append(vector_runtime.ledger_unfit_cells_sql(ledger, member.shape, member.conversion)) -%}
        {%- do queries.append(vector_runtime.ledger_unfit_checks_sql(ledger, fit)) -%}
        {%- for constraint in ledger.constraints if constraint.type in ('primary_key', 'unique') -%}
            {%- do queries.append(vector_runtime.ledger_repeated_keys_sql(ledger, fit, constraint)) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for constraint in ledger.constraints if constraint.type == 'foreign_key' -%}
        {%- set parent = members.get(constraint.parent_id) -%}
        {%- if parent is not none and (member.reasons or parent.reasons) -%}
            {%- do queries.append(vector_runtime.ledger_orphans_sql(ledger, fit, constraint, parent)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for query in queries if query | trim -%}
        {%- set row_count, example = run_query(query).rows[0].values() -%}
        {%- if row_count -%}
            {%- do found.append(
                refused ~ example.replace('\n', '\\n').replace('\r', '\\r')
                ~ (" (and " ~ (row_count - 1) | int ~ " more)" if row_count > 1 else "")
                ~ ". Correct what is stored, or declare a conversion (docs/operations.md); nothing was changed.") -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
