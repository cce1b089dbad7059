{% macro ledger_changes(current, unique_key, columns, compare, retire=true, ledger=none) -%}
select
    case when current_row.{{ unique_key }} is null then ledger_row.{{ unique_key }} else current_row.{{ unique_key }} end
        as {{ unique_key }},
    {%- for column in columns %}
    case when current_row.{{ unique_key }} is null then ledger_row.{{ column }} else current_row.{{ column }} end
        as {{ column }},
    {%- endfor %}
    {%- if retire %}
    case when current_row.{{ unique_key }} is null then {{ current_utc() }} end as retired_utc,
    {%- endif %}
    case when ledger_row.{{ unique_key }} is null then {{ current_utc() }} else ledger_row.created_utc end as created_utc,
    {{ current_utc() }} as updated_utc
from {{ current }} as current_row
{{ 'full outer' if retire else 'left' }} join {{ ledger or this }} as ledger_row
    on current_row.{{ unique_key }} = ledger_row.{{ unique_key }}
where
    ledger_row.{{ unique_key }} is null
    {# SQL Server finds the id without its blank: the row is selected, and the ledger refuses it. -#}
    or current_row.{{ unique_key }} like '% '
    {%- if retire %}
    or (
        current_row.{{ unique_key }} is null
        and ledger_row.managed_by = 'dbt'
        and ledger_row.retired_utc is null
    )
    or (current_row.{{ unique_key }} is not null and ledger_row.retired_utc is not null)
    {%- endif %}
    or (
        current_row.{{ unique_key }} is not null
        and (
            {%- for column in compare %}
            {{ vector_runtime.is_distinct('current_row.' ~ column, 'ledger_row.' ~ column, model.columns.get(column, {}).get('data_type', 'text')) }}
            {{- ' or' if not loop.last }}
            {%- endfor %}
        )
    )
{%- endmacro %}
