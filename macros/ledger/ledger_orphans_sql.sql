{% macro ledger_orphans_sql(ledger, fit, constraint, parent) -%}
    select
        count(*) as row_count,
        min(concat(
            {{ vector_runtime.ledger_shown(constraint.columns, 'change') }}, ' has no row in {{ constraint.parent_identifier }}, as {{ constraint.name }} demands'
        )) as example
    from (
        {{ fit }}
    ) as change
    where
        {%- for name in constraint.columns %}
        change.{{ name }} is not null and
        {%- endfor %}
        not exists (
            select 1
            from (
                {{ vector_runtime.ledger_converted_sql(parent.ledger, parent.shape, parent.conversion, 'try_cast') if parent.shape.columns
                    else vector_runtime.ledger_no_rows_sql(parent.ledger) }}
            ) as parent
            where
                {%- for name in constraint.columns %}
                parent.{{ constraint.to_columns[loop.index0] }} = change.{{ name }}{{ ' and' if not loop.last }}
                {%- endfor %}
        )
{%- endmacro %}
